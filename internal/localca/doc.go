// Package localca gives the doors for mail programs the certificates that they
// prove themselves by: those of files, or those of an authority of our own.
//
// What is kept true. The authority's root is made once and lives ten years; its
// key lies in the store's settings, which are sealed, and never leaves them. The
// server certificate lives a year, is kept too, so that a program that was told
// to trust it alone need not be told again after a restart, and is made anew
// while connections come in. Certificates of files are read again when they
// change.
//
// How it fails. A new file that is broken, or does not belong to the other one,
// leaves the former pair in use and is logged, once for each change. A root
// that is damaged in the store is an error: a new one in its place would have to
// be trusted by everybody again.
//
// Where to start: Open for the authority, Load for files.
package localca
