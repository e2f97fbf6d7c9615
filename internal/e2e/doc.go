// Package e2e has tests only: it builds the programs once and runs them as a
// user would, gateway, plugins, sandbox and webhook receiver as processes of
// their own. The tests see them through their doors alone: GraphQL, webhooks,
// the sandbox's control API and SMTP. Where the sandbox must be what no flag of
// its program makes it, it runs in the test itself (scene_test.go).
//
// TestFaults and TestKills (soak_*_test.go) keep a gateway busy while everything
// around it fails, and compare everything in the end: soak_run_test.go is their
// course, soak_check_test.go what must hold. They print their seed; `make soak`
// runs them in full.
package e2e
