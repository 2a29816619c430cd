# cmake -DOUT=FILE.c -DNAME=symbol -DFILES="a;b" -P embed.cmake: files as bytes of a C source.
set(table "")
set(text "/* Made from files of the source tree. */\n#include \"operator/manifests/embed.h\"\n\n")
set(i 0)
foreach(file IN LISTS FILES)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)"
    "\\1\n" bytes "${bytes}")
  get_filename_component(name ${file} NAME)
  string(APPEND text "static const unsigned char file_${i}[] = {\n${bytes}0};\n")
  string(APPEND table
    "\t{\"${name}\", (const char *)file_${i}, sizeof(file_${i}) - 1},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "${text}\nconst struct embedded ${NAME}[] = {\n${table}};\nconst size_t ${NAME}_n = ${i};\n")
