# Admission, conversion and their certificates.
add_library(operator_certs STATIC certs.c)
target_link_libraries(operator_certs PUBLIC x509 base PkgConfig::CRYPTO)
