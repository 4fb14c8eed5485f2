/* The profile protocol-test, for the public test suites of Engine.IO and Socket.IO and for tests of WebSocket: at
 * /socket.io/ an application that echoes (namespaces / and /custom), at /engine.io/ an echo of Engine.IO's messages, at
 * /echo one of WebSocket's. Short heartbeats, no tokens: for a listener on this machine alone. */
#pragma once

#include "service/service.h"

struct protocol_test;

/* Registers its routes. Ends the process when the role's address can be reached from other machines. */
struct protocol_test *protocol_test_new(struct service *service);
/* When the service stops: no connection is left after the loop has run out. */
void protocol_test_cut(struct protocol_test *t);
void protocol_test_free(struct protocol_test *t);
