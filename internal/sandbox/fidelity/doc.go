// Package fidelity holds no code, only tests that hold the sandbox's clouds
// against what is known of the real ones. They drive them as a stranger would,
// signed in through their own pages, without our plugins.
//
// Of Microsoft's Graph, over HTTPS:
//
//   - traces: requests that were recorded against the service are made again;
//     status, header names and the shape of the JSON must be the recorded ones.
//   - operations: every operation of the service's description is called; the
//     table says which are served, refused on purpose (and why) or missing.
//   - answers: whatever any of these tests gets is validated against the
//     description's schemas.
//
// Of Gmail, by Google's own client (files named google_*): every method of the
// discovery document is called, rightly and in two wrong ways; a method of mail
// that is in neither table fails. Answers are validated against the document's
// schemas: no member that it does not have, and each of its type and format.
//
// Recordings and descriptions lie outside the repository; without them the
// tests that need them are skipped, and the others run without validation.
package fidelity
