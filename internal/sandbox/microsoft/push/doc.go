// Package push is the sandbox's Graph change notifications: subscriptions and
// the webhooks that they lead to.
//
// What is kept true:
//   - A subscription exists only after its URLs answered the validation
//     handshake, which happens inside the request that makes it.
//   - It belongs to one app and one user; to anybody else it does not exist.
//   - A notification says that something changed, never what. It is sent to the
//     URL it was registered for, at least once unless the endpoint keeps
//     failing, is too slow or a fault is set; order is not kept.
//   - What becomes of each notification is counted under exactly one of
//     delivered, dropped, dropped_slow, dropped_by_fault and paused; retried,
//     doubled and delayed are counted beside.
//
// Notify never blocks: it puts the change into the queue of its URL. A queue
// has one goroutine while there is something in it, which gathers for
// Settings.BatchWindow and posts what came; each post with its retries has a
// goroutine of its own. All of them end with Run.
//
// Start reading at service.go.
package push
