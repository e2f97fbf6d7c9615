// Package powercut shows what a program's files would look like after a power
// cut. It runs the program under ptrace, writes down what it asks of the disk
// (writes, sizes, names, syncs) and when it acknowledged what, and then builds,
// for any moment of the run, a folder as the cut could have left it. It needs
// no privileges, no device and no file system of its own. Tests use it; the
// gateway does not.
//
// What is kept true of an image:
//
//   - What a completed fsync or fdatasync covered is there. What was written
//     before the sync began counts as covered, nothing later does.
//   - Of everything else an arbitrary part is there: sector by sector of 512
//     bytes, in any order, each in any of the versions that it had since the
//     last sync; and any of the file's sizes since then.
//   - A name (created, renamed, removed) is there for sure once its folder was
//     synced; syncing the file is not enough, although some file systems would
//     be content with that. A rename is whole or not at all, as every journal
//     makes it. A lost folder takes along what is in it.
//   - An acknowledgement counts from the moment the program began to write it.
//
// How it fails. A call that would change the disk in a way that is not modelled
// here (a shared writable mapping, say) ends Record with an error; it is never
// ignored.
//
// Where to start: Record, then disk.go for what a cut leaves.
package powercut
