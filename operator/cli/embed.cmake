# embed_text(OUT SYMBOL FILE...): a C file that defines `const char SYMBOL[]`, the files one after the
# other as documents of one YAML stream.
function(embed_text out symbol)
  set(text "")
  foreach(file ${ARGN})
    file(READ ${file} part)
    string(APPEND text "${part}\n---\n")
  endforeach()
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n\"" text "${text}")
  file(CONFIGURE OUTPUT ${out} CONTENT
    "extern const char ${symbol}[];\nconst char ${symbol}[] =\n\"@text@\";\n" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
endfunction()
