// Package pubsub is the sandbox's Cloud Pub/Sub, as far as Gmail and those who
// listen to it need it: topics, subscriptions that are pulled or pushed, and
// who may do what.
//
// What is kept true:
//   - A message that was published is delivered to every subscription of its
//     topic until it is acknowledged or older than the retention: at least
//     once, in no promised order, each time with a new ackId and a higher
//     deliveryAttempt.
//   - What was handed out comes again when its ack deadline has passed. An
//     endpoint that answers anything but 102, 200, 201, 202 or 204, or nothing
//     in time, is asked again after 100 ms, and then up to every 60 s.
//   - A pushed message carries a token (RS256, with the keys of sign-in) when
//     its subscription has an oidcToken.
//   - Nobody publishes or reads without a role: Gmail's own account publishes
//     only where the topic's policy says so.
//
// Faults of notifications (drop, double, delay) apply when a message is
// published, by the emailAddress in its data. Start reading at service.go, then
// queue.go, push.go and handler.go.
package pubsub
