# Admission, conversion and their certificates; the webhooks that serve them.
add_library(operator_certs STATIC certs.c)
target_link_libraries(operator_certs PUBLIC x509 base PkgConfig::CRYPTO)

add_library(admit_core STATIC covers.c review.c convert.c admit.c admit_config.c admit_use.c admit_metallb.c)
target_link_libraries(admit_core PUBLIC config api base PkgConfig::JSONC)

add_library(webhook_rules STATIC webhook_rules.c)
target_link_libraries(webhook_rules PUBLIC admit_core operator_certs)

add_library(operator_webhook STATIC webhook.c webhook_certs.c webhook_register.c webhook_store.c)
target_link_libraries(operator_webhook PUBLIC webhook_rules serve_metrics serve kube PRIVATE ev)
