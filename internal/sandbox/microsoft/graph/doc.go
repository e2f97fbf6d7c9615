// Package graph is the mail half of the sandbox's Microsoft: mailboxes in
// memory and the Graph operations that read and change them.
//
// What is kept true:
//
//   - A message has two ids. The regular one changes whenever the message moves;
//     the immutable one never does. A request gets the form it asked for
//     (Prefer: IdType="ImmutableId"), and either form is accepted in a URL.
//   - Ids have a structure that can be checked without the store, so that junk
//     (400 ErrorInvalidIdMalformed) and a message that is gone
//     (404 ErrorItemNotFound) differ.
//   - What $value serves for delivered mail never changes. For mail made from
//     JSON it is generated, the same bytes until the message changes.
//   - Every change to a message is one entry in its folder's log, with the state
//     the message had then. Delta reads that log and nothing else.
//   - No request holds a mailbox's lock while it reads from or writes to the
//     network, or while it hands mail to the small internet.
//
// How it fails: every refusal is an [Error] from the table in errors.go, with
// the status, code and words that the service uses. What the service offers and
// the sandbox does not is refused with 501 and the reason (refuse.go).
// What the sources dispute is a field of [Settings].
//
// Where to start: route.go maps a URL to an operation; mailbox.go holds the
// store; delta.go the change feed; parse.go reads MIME and build.go makes it.
//
// Not here: tokens, throttling, injected faults and subscriptions. They stand
// in front of [Server.Handler], which trusts the user it finds in the context.
package graph
