# The MetalLB resource to the objects that run the system, from manifests that the program carries.
function(embed symbol)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAME=${symbol} "-DFILES=${ARGN}"
      -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/manifests/embed.cmake
    DEPENDS ${ARGN} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/manifests/embed.cmake VERBATIM)
endfunction()
file(GLOB manifests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/manifests/*.yaml)
file(GLOB crds CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/crds/metallb.io_*.yaml)
embed(embedded_manifests ${manifests})
embed(embedded_crds ${crds})

add_library(render_core STATIC render.c render_live.c rollout.c history.c crd_plan.c
  ${CMAKE_CURRENT_BINARY_DIR}/embedded_manifests.c ${CMAKE_CURRENT_BINARY_DIR}/embedded_crds.c)
target_link_libraries(render_core PUBLIC admit_core kube_core api yaml base PkgConfig::JSONC)
