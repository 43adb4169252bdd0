/* SPDX-License-Identifier: Apache-2.0 */
/* Sanitizer builds: free() is the sanitizer's (see wipe_free.c). */
typedef int wipe_none_is_empty;
