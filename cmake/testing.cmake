# ijepa_test(NAME name SOURCES file... LIBS lib... LABELS label...): a GoogleTest program, one ctest entry, label unit
# unless said otherwise. Tests run in the project's root, so that ../shared/goldens is found; IJEPA_GOLDENS and
# IJEPA_TEST_DATA name other folders.
include(CTest)
enable_testing()

function(ijepa_test)
  cmake_parse_arguments(T "" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  add_executable(${T_NAME} ${T_SOURCES})
  target_link_libraries(${T_NAME} PRIVATE ${T_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${T_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${T_NAME} COMMAND ${T_NAME} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${T_NAME} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
endfunction()

# ijepa_renamed_goldens_test(NAME name KINDS "kind,kind" COMMAND command...): the command with every file of those golden
# sets renamed must pass and skip nothing: files are found by their sidecars.
function(ijepa_renamed_goldens_test)
  cmake_parse_arguments(T "" "NAME;KINDS" "COMMAND" ${ARGN})
  add_test(NAME ${T_NAME} COMMAND ${CMAKE_SOURCE_DIR}/tests/golden/renamed_goldens_test.py ${T_KINDS} ${T_COMMAND}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${T_NAME} PROPERTIES
    LABELS golden TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT "GTEST_FILTER=-Large*;OMP_NUM_THREADS=1")
endfunction()
