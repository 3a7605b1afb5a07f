# LibTorch, CUDA and NCCL. With Torch_DIR set (a LibTorch zip and a real CUDA Toolkit) those are used; without it, the
# wheels that deploy/install-deps.sh installed. Defines the interface target ijepa_torch; link it PRIVATE, and never from
# a target that also compiles .pb.h: the wheel's include path carries protobuf 3.13.
if(NOT Torch_DIR)
  include(${CMAKE_SOURCE_DIR}/build/deps.cmake OPTIONAL RESULT_VARIABLE found)
  if(NOT found)
    message(FATAL_ERROR "No LibTorch: run deploy/install-deps.sh, or set Torch_DIR, or use the preset control")
  endif()
  set(Torch_DIR ${IJEPA_WHEELS}/site/torch/share/cmake/Torch)
  set(ENV{CUDA_HOME} ${IJEPA_WHEELS}/cuda)
  set(ENV{CUDA_PATH} ${IJEPA_WHEELS}/cuda)
  set(CUDA_TOOLKIT_ROOT_DIR ${IJEPA_WHEELS}/cuda)
  set(CUDAToolkit_ROOT ${IJEPA_WHEELS}/cuda)
  set(CMAKE_CUDA_COMPILER ${IJEPA_WHEELS}/cuda/bin/nvcc)
  set(NCCL_ROOT ${IJEPA_WHEELS}/site/nvidia/nccl)
endif()
# PTX beside the code of Hopper, for GPUs that come after it.
set(TORCH_CUDA_ARCH_LIST "8.0;9.0+PTX" CACHE STRING "Read by LibTorch's CMake files")
set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "A100 and H100/H200")
set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 knows no CUDA20 flag for nvcc 13
enable_language(CUDA)
find_package(Torch REQUIRED)

find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${NCCL_ROOT}/include REQUIRED)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${NCCL_ROOT}/lib REQUIRED)
find_library(CUBLAS_LIBRARY cublas HINTS ${CUDA_TOOLKIT_ROOT_DIR}/lib64 ${CUDAToolkit_LIBRARY_DIR} REQUIRED)
find_library(GLOO_LIBRARY gloo REQUIRED)

add_library(ijepa_torch INTERFACE)
target_include_directories(ijepa_torch SYSTEM INTERFACE ${NCCL_INCLUDE_DIR})
# libstdc++ first: libtorch.so exports an incomplete std::filesystem of its own, and the loader takes the first it finds
# (remove_all of a folder with folders in it then calls address 0). Gloo before torch.
target_link_libraries(ijepa_torch INTERFACE "-Wl,--push-state,--no-as-needed,-lstdc++,--pop-state"
  ${GLOO_LIBRARY} ${TORCH_LIBRARIES} ${NCCL_LIBRARY} ${CUBLAS_LIBRARY})
