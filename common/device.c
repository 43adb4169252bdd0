/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets and network devices (device.h). Pure but for the system calls: who
 * binds what is decided by keeper (SIP), flowd (outgoing connections) and
 * mediad (media ports).
 */
#include "common/device.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(DEVICE_NAME_SIZE == IF_NAMESIZE, "the kernel's size of a name");

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

bool device_name_ok(const char *text)
{
	size_t len = 0;
	bool letter = false;

	if (text[0] == '.' || text[0] == '-')
		return false;
	while (len < DEVICE_NAME_SIZE && is_name_byte(text[len])) {
		letter = letter || (text[len] | 0x20) >= 'a';
		len++;
	}
	return letter && len < DEVICE_NAME_SIZE && !text[len];
}

int device_name_copy(const char *text, char name_out[DEVICE_NAME_SIZE])
{
	if (text[0] && !device_name_ok(text))
		return ERR_INVALID;
	/* To the end: names are compared as text and stored as bytes. */
	memset(name_out, 0, DEVICE_NAME_SIZE);
	memcpy(name_out, text, strlen(text));
	return 0;
}

int device_bind(int fd, const char *name)
{
	if (!name[0] && device_index(fd) == 0)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
		    (socklen_t)strlen(name)) == 0)
		return 0;
	return errno == ENODEV ? ERR_NOT_FOUND : ERR_SYSTEM;
}

int device_bind_index(int fd, unsigned index)
{
	int value = (int)index;

	return setsockopt(
		       fd, SOL_SOCKET, SO_BINDTOIFINDEX, &value, sizeof(value))
		       ? ERR_SYSTEM
		       : 0;
}

unsigned device_index(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &value, &len) ||
		value < 0)
		return 0;
	return (unsigned)value;
}

unsigned device_find(const char *name)
{
	return if_nametoindex(name);
}

bool device_name(unsigned index, char name_out[DEVICE_NAME_SIZE])
{
	char name[IF_NAMESIZE] = "";

	return index != 0 && if_indextoname(index, name) &&
	       device_name_copy(name, name_out) == 0 && name_out[0];
}
