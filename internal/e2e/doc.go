// Package e2e has tests only: it builds the programs once and runs them as a
// user would, gateway, plugins, sandbox and webhook receiver as processes of
// their own. The tests see them through their doors alone: GraphQL, webhooks,
// the sandbox's control API and SMTP.
package e2e
