package namespaces

import "holdfast/socketio"

// work is the namespace /queue: messages that must be handled, and said to be handled. See handlers.Queues for
// its events and docs/queues.md for a publisher and a worker.
func work(n *socketio.Namespace, d Deps) {
	queues := d.Queues
	n.Use(queues.Admit)
	n.OnDisconnect(queues.Exit)
	n.On("publish", queues.Publish)
	n.On("subscribe", queues.Subscribe)
	n.On("unsubscribe", queues.Unsubscribe)
	n.On("stats", queues.Stats)
	n.On("peek", queues.Peek)
	n.On("purge", queues.Purge)
	logErrors(n, d.Logger)
}
