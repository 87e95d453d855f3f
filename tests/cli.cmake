# The built binary from the outside, and what the unit tests of vmm/ need to know.
target_compile_definitions(test_options PRIVATE RINGER_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_compile_definitions(test_control PRIVATE RINGER_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_test(NAME cli COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli.sh $<TARGET_FILE:ringer>)
