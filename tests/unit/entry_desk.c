/* SPDX-License-Identifier: Apache-2.0 */
/* See entry_desk.h. */
#include "tests/unit/entry_desk.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

struct world *w;
struct peer phone;
struct peer trunk; /* 127.0.0.2 */
char text[WORLD_TEXT_SIZE];
char value[1024];
char auth_line[1024];
char extra[4096];

void entry_begin(struct world_config config)
{
	config.with_trunk = true;
	w = world_new(&config);
	peer_open(&phone, "127.0.0.1");
	peer_open(&trunk, "127.0.0.2");
}

void entry_setup(void)
{
	entry_begin((struct world_config){0});
}

void entry_setup_open(void)
{
	entry_begin((struct world_config){.strangers_invite = true});
}

void entry_teardown(void)
{
	peer_close(&phone);
	peer_close(&trunk);
	world_free(&w);
}

void entry_send(const struct peer *p, const struct addr *to, struct request r)
{
	peer_send(p, to, request_text(p, &r, text));
}

void entry_expect(const struct peer *p, const char *status)
{
	char line[32];

	peer_recv(w, p, text);
	snprintf(line, sizeof(line), "SIP/2.0 %s ", status);
	ck_assert_msg(strncmp(text, line, strlen(line)) == 0,
		"%.400s instead of %s", text, line);
}

void entry_register(void)
{
	char own[ADDR_TEXT_SIZE];

	entry_send(&phone, &w->local, (struct request){.call_id = "r"});
	entry_expect(&phone, "401");
	snprintf(extra, sizeof(extra), "%sContact: <sip:100@%s>\r\n",
		authorization(text, "u1", "good", auth_line),
		addr_format(&phone.local, own));
	entry_send(&phone, &w->local,
		(struct request){.call_id = "r", .cseq = 2, .extra = extra});
	entry_expect(&phone, "200");
}
