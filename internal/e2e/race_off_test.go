//go:build !race

package e2e

// raceEnabled: the tests were built with the race detector.
const raceEnabled = false
