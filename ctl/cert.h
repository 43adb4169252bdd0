/* SPDX-License-Identifier: Apache-2.0 */
/* sbcctl cert ...: an internal authority and certificates, as files. */
#ifndef CTL_CERT_H
#define CTL_CERT_H

/** @param argv what follows "cert". @return sbcctl's exit code. */
int cert_command(int argc, char **argv);

#endif
