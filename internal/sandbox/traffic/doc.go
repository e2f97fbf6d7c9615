// Package traffic counts what the sandbox's clouds are asked and spoils it on
// demand: Counters is what GET /control/counters shows, Faults is what PUT
// /control/faults sets.
//
// Both know requests only as method, path and user. Every cloud reports to the
// same two, so that a test reads one set of numbers and sets faults in one
// place. A request is counted once, by what its client was told; a request
// that a fault cut off before its answer is counted with status 0. The items
// of a batch are counted one by one, beside the batch itself.
package traffic
