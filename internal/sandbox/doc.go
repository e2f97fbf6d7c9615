// Package sandbox is a world of mail on one machine: clouds that behave like
// the real ones, their users, and a small internet between them. With it an
// application is built and tested against Postern, or a plugin against a
// provider, with no account anywhere and no network.
//
// What is kept true:
//   - Nothing here shares code with a plugin: the sandbox is written from the
//     providers' contracts alone, so that both cannot share a misunderstanding.
//   - What a client is told was done, was done; GET
//     /control/users/{address}/messages is the truth to compare with.
//   - Seeds and faults go by Options.Seed: the same seed gives the same mail
//     and the same bad luck.
//   - Mail submitted by one user reaches every recipient that has a mailbox in
//     some cloud of the sandbox; any other recipient comes back as a bounce
//     (RFC 3464).
//
// Start gives a running sandbox:
//
//	sb, err := sandbox.Start(ctx, sandbox.Options{Microsoft: "127.0.0.1:0"})
//	defer sb.Close()
//	state := sb.State() // addresses, CA file, the default app's id and secret
//
// All doors listen before Start returns. Without StateDir everything is in
// memory and gone with the process.
//
// # Control API
//
// JSON over HTTP, on State().Control. Errors are {"error": "..."} with status
// 400, 404 or 409.
//
//	GET    /control/state                            addresses, CA file, default app
//	GET    /control/users                            [{cloud, id, address, name}]
//	POST   /control/users                            {cloud, address, name}; for Google {gmail: false} is an account without mail
//	GET    /control/users/{address}/messages         [{id, mailboxes, keywords, size, sha256}]
//	POST   /control/users/{address}/messages         one raw message; ?mailbox= &date= (RFC 3339) &keywords=a,b &notify=false
//	PATCH  /control/users/{address}/messages/{id}    {add_keywords, remove_keywords, mailbox}: as another mail program would
//	DELETE /control/users/{address}/messages/{id}
//	POST   /control/users/{address}/revoke           {keep_access_tokens}; the body may be empty
//	POST   /control/users/{address}/forget-cursors
//	POST   /control/users/{address}/lifecycle        {event}: reauthorizationRequired, subscriptionRemoved, missed; of Google: watch_expired
//	POST   /control/users/{address}/block            {code}: every sign-in and refresh ends with this AADSTS code; 0 ends it
//	                                                 Google: 1 or {reason: disabled}, 2 admin_policy_enforced, 3 invalid_rapt
//	POST   /control/users/{address}/expire-tokens    access tokens that are out answer 401 from now on; refresh tokens live
//	PUT    /control/consent                          {administrators_only}: Microsoft's users may not allow applications; one who may is named in the answer
//	POST   /control/users/{address}/password         Google: changed, which ends refresh tokens that reach mail
//	POST   /control/service-accounts                 Google: {name, roles: [roles/pubsub.subscriber, ...]}; the answer is the key file
//	POST   /control/rotate-keys                      Google: signs with a new key; the one before stays in the key set
//	GET    /control/faults                           the faults in force
//	PUT    /control/faults                           one fault, or a list of them (traffic.Fault)
//	                                                 {match, user, rate, times, status, retry_after, delay_ms, cut_after, ...}
//	                                                 body: garbage, truncated, html, empty, endless, gzipbomb, headers;
//	                                                 loop, cycle, foreign, longid, dates, doubled, negative, folders (traffic.Body)
//	DELETE /control/faults                           ends them all
//	GET    /control/counters                         ?cloud= &user=; traffic.Report
//	DELETE /control/counters                         from zero again
//	GET    /control/apps                             the app registrations; ?cloud=google
//	POST   /control/apps                             ?cloud=google, or cloud in the body; {client_id, name, redirect_uris, secrets, certificates, tenant, ...};
//	                                                 one with the same client_id is replaced; a secret {value, expires} of the past
//	                                                 is refused as the real one is, once access tokens have ended
//	                                                 Google: {client_id, name, project, redirect_uris, secrets: [{value, disabled}],
//	                                                 testing, test_users, internal: domain, deleted}
//	GET    /control/ca                               the certificate authority, PEM
//
// A page for people is at /.
//
// Start reading at sandbox.go, then post.go and control.go.
package sandbox
