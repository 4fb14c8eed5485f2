/* The folder of ogent-target on a target:
 *
 *	workspaces/W/   the commands' folders; as root each is owned by a user id of its own
 *	snapshots/W/ID/ see snapshot.h
 *	locks/W         who works in W: commands and changes of its files share it, what changes all of it has it alone
 *	uids            the next user id, locked (flock) while it is taken */
#pragma once

#include "spec.h"

/* Made if missing; `shared`: the commands' users must get through to their workspaces. 0 or -errno. */
int place_open(const char *path, bool shared, int *ret_fd);
/* Makes the command's workspace if it names one and it is new, and finds spec->uid: the workspace's owner, or as root
 * an id that no other has, from `first` upwards. 0 or -errno; -EPERM: the name is taken by something else. */
int place_prepare(int dir_fd, uid_t first, struct spec *spec);
/* Held until the fd is closed, also by a process that dies. fd, or -errno; -EBUSY: somebody else is at work there, and
 * was still so after 2 s. */
int place_lock(int dir_fd, const char *workspace, bool alone);
/* Who shares it has it alone from here on; -EBUSY: he shares it still. */
int place_lock_alone(int lock_fd);
/* It is nobody's any more: its holder has removed the workspace. */
void place_unlock_for_good(int dir_fd, const char *workspace);
