// Command bench measures every path against a reference in the same run and
// prints one table: path, reference, both figures, their ratio, the goal.
//
// What is kept true.
//
//   - A reference is the least that could be done for the same result: it
//     talks to the same sink, a process of its own, over as many connections,
//     with the same body, signature and verification.
//   - Runs of path and reference alternate; a figure is the median of them.
//   - What the sink counted must be what the producers made, or the run fails:
//     a figure of deliveries that did not arrive is worse than none.
//   - Stores lie on a disk that keeps what it says it keeps; how long its fsync
//     takes stands at the top.
//
// How it fails. A run that went wrong ends the command with what was wrong. A
// goal that is missed is a word in the table and no failure: the machine may
// be busy.
//
// Where to start: groups (main.go) lists what is measured, pair.run (pair.go)
// is how, sink.go is the other side.
//
// usage: bench [-only GROUP,...] [-runs N] [-messages N] [-quick] [-keep] [-dir DIR] [-profile FILE]
package main
