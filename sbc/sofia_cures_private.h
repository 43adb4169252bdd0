/* SPDX-License-Identifier: Apache-2.0 */
/* Between sofia_cures.c, its self test, its text checks and stack.c. */
#ifndef SBC_SOFIA_CURES_PRIVATE_H
#define SBC_SOFIA_CURES_PRIVATE_H

#include <stdbool.h>

/** While on, datagrams reach the library unchecked: for the self test. */
void cures_testing(bool on);
/** The library has closed these sockets. */
void cures_forget_all(void);

#endif
