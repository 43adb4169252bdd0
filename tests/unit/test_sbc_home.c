/* SPDX-License-Identifier: Apache-2.0 */
/* The SIP library's memory homes as we make them (sofia_home.h). */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <sofia-sip/msg.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/su_string.h>

#include "sbc/sofia_home.h"
#include "tests/unit/suite.h"

static unsigned n_destroyed;

static void on_destroy(void *home)
{
	(void)home;
	n_destroyed++;
}

START_TEST(pieces)
{
	su_home_t *home = _i == 0 ? su_home_new(sizeof *home)
				  : home_new_lasting(sizeof *home);
	char *a = su_alloc(home, 10), *b = su_zalloc(home, 1000), *c;

	ck_assert_uint_eq((uintptr_t)a % 16, 0);
	for (size_t i = 0; i < 1000; i++)
		ck_assert_int_eq(b[i], 0);
	memcpy(a, "123456789", 10);
	c = su_realloc(home, a, 5000);
	ck_assert_str_eq(c, "123456789");
	ck_assert_int_eq(su_in_home(home, c), 1);
	ck_assert_int_eq(su_home_check_alloc(home, b), 1);
	ck_assert_int_eq(su_in_home(home, c + 1), 0);
	su_free(home, b);
	su_free(home, NULL);
	ck_assert_int_eq(su_in_home(home, b), 0);
	ck_assert_ptr_null(su_alloc(home, 0));
	ck_assert_ptr_null(su_alloc(home, -1));
	ck_assert_ptr_null(su_realloc(home, c, 0));
	ck_assert_str_eq(su_strdup(home, "last"), "last");
	ck_assert_int_eq(su_home_unref(home), 1);
}
END_TEST

START_TEST(preload)
{
	su_home_t *home = su_home_new(sizeof *home);
	char *a, *b, *c;

	su_home_preload(home, 1, 64);
	a = su_alloc(home, 20);
	b = su_alloc(home, 20);
	ck_assert_ptr_eq(b, a + 24);
	memcpy(a, "abcdefghijklmnopqrs", 20);
	memcpy(b, "ABCDEFGHIJKLMNOPQRS", 20);
	c = su_realloc(home, a, 100);
	ck_assert_str_eq(c, "abcdefghijklmnopqrs");
	ck_assert_str_eq(b, "ABCDEFGHIJKLMNOPQRS");
	su_free(home, b);
	su_free(home, c);
	ck_assert_ptr_nonnull(su_zalloc(home, 4000));
	su_home_unref(home);
}
END_TEST

START_TEST(on_the_stack)
{
	su_home_t area[SU_HOME_AUTO_SIZE(256)], *home;
	su_home_t plain[1] = {SU_HOME_INIT(plain)};
	char *a;

	home = su_home_auto(area, sizeof area);
	ck_assert_ptr_nonnull(home);
	a = su_alloc(home, 100);
	ck_assert(a > (char *)area && a < (char *)area + sizeof area);
	ck_assert_ptr_nonnull(su_alloc(home, 1000));
	su_home_deinit(home);
	ck_assert_ptr_null(su_home_auto(area, 8));
	ck_assert_int_eq(su_home_init(plain), 0);
	ck_assert_ptr_nonnull(su_alloc(plain, 100));
	su_home_deinit(plain);
	ck_assert_ptr_null(plain->suh_blocks);
}
END_TEST

/* A home in a home goes with it, whoever refers to it; its destructor runs
 * once. */
START_TEST(homes_in_homes)
{
	su_home_t *home = su_home_new(sizeof *home), *inner, *other;

	n_destroyed = 0;
	inner = su_home_clone(home, sizeof *inner + 100);
	ck_assert_ptr_eq(su_home_parent(inner), home);
	ck_assert_int_eq(su_home_has_parent(home), 0);
	ck_assert_int_eq(su_home_destructor(inner, on_destroy), 0);
	ck_assert_int_eq(su_home_destructor(inner, on_destroy), -1);
	ck_assert_ptr_nonnull(su_alloc(inner, 50));
	ck_assert_ptr_eq(su_home_ref(inner), inner);
	ck_assert_uint_eq(su_home_refcount(inner), 2);
	ck_assert_int_eq(su_home_unref(inner), 0);
	other = su_home_clone(home, sizeof *inner);
	ck_assert_int_eq(su_home_unref(other), 1);
	ck_assert_uint_eq(n_destroyed, 0);
	ck_assert_int_eq(su_home_unref(home), 1);
	ck_assert_uint_eq(n_destroyed, 1);
}
END_TEST

START_TEST(moved)
{
	su_home_t *from = su_home_new(sizeof *from);
	su_home_t *to = su_home_new(sizeof *to), *inner;
	char *early, *late;

	su_home_preload(from, 1, 64);
	early = su_strdup(from, "early");
	late = su_alloc(from, 100);
	memcpy(late, "late", 5);
	inner = su_home_clone(from, sizeof *inner);
	ck_assert_int_eq(su_home_move(to, from), 0);
	ck_assert_int_eq(su_home_unref(from), 1);
	ck_assert_str_eq(early, "early");
	ck_assert_str_eq(late, "late");
	ck_assert_ptr_eq(su_home_parent(inner), to);
	su_free(to, late);
	ck_assert_int_eq(su_home_move(NULL, to), -1);
	su_home_unref(to);
}
END_TEST

/* What the library makes it makes here. */
START_TEST(the_library_comes_here)
{
	size_t before = homes_made();
	msg_t *msg = msg_create(sip_default_mclass(), 0);

	ck_assert_ptr_nonnull(msg);
	ck_assert_uint_eq(homes_made(), before + 1);
	ck_assert_int_eq(su_home_threadsafe(msg_home(msg)), 0);
	ck_assert_ptr_nonnull(su_strdup(msg_home(msg), "text"));
	msg_destroy(msg);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sbc_home");

	suite_add_rows(s, "pieces", pieces, 2);
	suite_add(s, "preload", preload);
	suite_add(s, "on_the_stack", on_the_stack);
	suite_add(s, "homes_in_homes", homes_in_homes);
	suite_add(s, "moved", moved);
	suite_add(s, "the_library_comes_here", the_library_comes_here);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
