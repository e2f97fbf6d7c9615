// Package front stands in front of a cloud of the sandbox: it counts what
// clients are told, spoils what the faults in force want spoiled, and runs the
// listener.
//
// What is kept true: a request is counted once, with the answer that the
// client got, under the user it turned out to be for; a fault with cut_after
// has its request executed in full before the connection ends without a byte
// of the answer, and inside a batch it ends the batch's.
//
// A cloud puts Counted outermost, finds the user (Exchange.User), then Spoiled,
// then its API. What is refused, and what a fault's rubbish looks like, the
// cloud says itself through Front's functions.
package front
