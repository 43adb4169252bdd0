/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SIP library's memory homes (su_alloc.h), made by us: every su_home_*()
 * and su_alloc() of the library and of ours comes here, like the cures in
 * sofia_cures.h.
 *
 *	the library's way			here
 *	a table of 31 places, 560 bytes, for	a list: 16 bytes per piece
 *	every home, whatever it holds
 *	a table of all that goes out, which	nothing to grow
 *	grows by copying and stays large
 *	everything from one heap		homes that last take their
 *						pieces from heap_lasting()
 *
 * What lasts: homes made by home_new_lasting(), which are our calls and
 * subscriptions. Not the library's dialogs: a call in which nothing is said
 * gives them up (leg_sleep.h), and the room that they leave would be between
 * pieces that stay (measured: 1.4 kB per held call).
 */
#ifndef SBC_SOFIA_HOME_H
#define SBC_SOFIA_HOME_H

#include <stddef.h>

/** How many homes were made here: the self test sees whether the library's are
 * among them. */
size_t homes_made(void);

/** As su_home_new(), for an object that stays: a call. */
void *home_new_lasting(size_t size) __attribute__((__malloc__));

#endif
