// Package fidelity holds no code, only tests that hold the sandbox's Graph
// against what is known of the real one. They drive it over HTTPS as a stranger
// would, signed in through its own pages, without our plugin:
//
//   - traces: requests that were recorded against the service are made again;
//     status, header names and the shape of the JSON must be the recorded ones.
//   - operations: every operation of the service's description is called; the
//     table says which are served, refused on purpose (and why) or missing.
//   - answers: whatever any of these tests gets is validated against the
//     description's schemas.
//
// Recordings and description lie outside the repository; without them the tests
// that need them are skipped, and the others run without validation.
package fidelity
