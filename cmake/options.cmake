# Warnings, include root and sanitizers for our own code: link ijepa_options.
add_library(ijepa_options INTERFACE)
target_include_directories(ijepa_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(ijepa_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wno-missing-field-initializers>)
target_compile_definitions(ijepa_options INTERFACE IJEPA_VERSION="${PROJECT_VERSION}")

set(IJEPA_SANITIZE "" CACHE STRING "Sanitizers for all targets: address,undefined or thread")
if(IJEPA_SANITIZE)
  add_compile_options(-fsanitize=${IJEPA_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${IJEPA_SANITIZE})
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # Paths that do not count let a second clone hit the cache of the first. A header that changes while
  # it is compiled must not be kept: no include_file_mtime, include_file_ctime.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_INODECACHE=1
    CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# Static libraries of gRPC and three dozen programs: linking is a fifth of a build without it.
include(CheckLinkerFlag)
check_linker_flag(CXX -fuse-ld=mold IJEPA_HAVE_MOLD)
if(IJEPA_HAVE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
