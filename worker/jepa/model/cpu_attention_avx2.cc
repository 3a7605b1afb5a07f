// cpu_attention_kernel.h for AVX2 and FMA; CMakeLists.txt sets the flags.
#include "worker/jepa/model/cpu_attention.h"

#define JEPA_CPU_ATTENTION_NAMESPACE attention_avx2
#include "worker/jepa/model/cpu_attention_kernel.h"
