# Admission, conversion and their certificates.
add_library(operator_certs STATIC certs.c)
target_link_libraries(operator_certs PUBLIC x509 base PkgConfig::CRYPTO)
add_library(review_core STATIC review.c convert.c)
target_link_libraries(review_core PUBLIC base PkgConfig::JSONC)
