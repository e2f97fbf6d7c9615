// Package pluginhost runs provider plugins: it finds them, starts one process
// per provider instance, configures it, watches it, and starts it again when
// it dies.
//
// Start at Host: New, Run, and Provider, which gives an instance's
// provider.Provider. That value outlives the process behind it. A call that
// meets a process on its way up waits for it; one that meets a process dying
// ends with mail.KindUnavailable, and is repeated here where its verb allows,
// or with mail.KindOutcomeUnknown.
//
// What is kept true:
//
//   - No plugin outlives its host, however the host ends: its Session is its
//     lifeline, its standard input is one until then, and on Linux the kernel
//     kills it with its parent.
//   - A plugin sees only what env.go lists of the host's environment.
//   - A pinned plugin starts only where its SHA-256 is the pinned one.
//   - An instance that cannot work as configured is shown as such, and is not
//     started over and over.
//   - An account is open in a plugin before a verb reaches it; after a restart
//     accounts are opened again when they are first needed, and idle ones are
//     closed.
//   - Nothing here logs a setting, a grant, or mail.
package pluginhost
