/* SPDX-License-Identifier: Apache-2.0 */
/* The real flowd as a child of a test: run by hand in the test's folder, with
 * an authority and a certificate that are made there. */
#ifndef TESTS_UNIT_FLOWD_CHILD_H
#define TESTS_UNIT_FLOWD_CHILD_H

#include <sys/types.h>

/** Makes dir/flowd.conf, dir/tls, dir/ca with authority "ca" and the
 * certificate `name` for host. */
void flowd_child_prepare(const char *dir, const char *name, const char *host);
/** Starts it. @return its process id. */
pid_t flowd_child_start(const char *dir);
/** Ends it at once and waits. */
void flowd_child_kill(pid_t pid);
/** Removes what prepare made. */
void flowd_child_clean(const char *dir);

#endif
