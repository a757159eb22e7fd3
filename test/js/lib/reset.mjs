// Ending a TCP connection with a reset.

/**
 * Resets the connection where that is still possible. A socket whose writing side is being shut down must not be
 * reset: libuv refuses, Node keeps the handle, and the process spins for ever at its end.
 */
export function reset(socket) {
  if (socket.destroyed) return;
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
