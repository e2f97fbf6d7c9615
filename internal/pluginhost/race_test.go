//go:build race

package pluginhost

// raceEnabled: a program built with -race takes a second to exit.
const raceEnabled = true
