/*
 * Asking a cluster's API server for the facts of the doctor.
 */
#ifndef CLI_DOCTOR_GATHER_H
#define CLI_DOCTOR_GATHER_H

#include "metallb/kube_client.h"
#include "operator/cli/doctor.h"

/* What cannot be read is noted in the facts. False when the server cannot be asked at all. */
bool doctor_gather(struct kube_client *client, const char *ns, struct doctor_facts *facts,
		   struct err *err);

#endif
