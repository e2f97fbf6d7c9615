// Package providertest is the conformance suite for mail providers: it holds a
// plugin to every sentence of the contract in plugins/sdk/provider. If it
// passes, the gateway can rely on the plugin; if it fails, the name of the case
// is the promise that was broken.
//
// # Use
//
// In the tests of a plugin, directly and as the gateway sees it, across gRPC:
//
//	func TestConformance(t *testing.T) {
//		suite := providertest.Suite{New: func(t providertest.T) (provider.Provider, providertest.World) {
//			cloud := startMyCloud(t)          // a fake of the mail system, or a test account
//			return myplugin.New(), myWorld{cloud: cloud}
//		}}
//		t.Run("direct", func(t *testing.T) { providertest.Run(t, suite) })
//		t.Run("wire", func(t *testing.T) { providertest.Run(t, suite.Across(provider.Pipe)) })
//	}
//
// On any plugin binary, without Go tests: `postern plugins test PATH --world
// FILE`, which is LoadWorld and RunSuite. It prints how many cases ran, passed,
// failed, and were skipped by a missing capability, and exits with 1 where one
// failed, where one of the read cases was skipped, or where fewer than
// LeastReads of them ran: a suite of which nothing ran proves nothing. Read
// cases (Case.Read) are those that every provider has to keep, also one that
// can only be read from; the world must deliver, move and remove messages and
// tell the truth for them.
//
// Cases that cannot apply are skipped, with their reason. Name them in
// Suite.Inapplicable when they are to be no news any more.
//
// # Worlds
//
// A World is everything around the provider: the settings that work, and what
// the outside can do to an account: let mail arrive, move and remove messages,
// expire tokens, withdraw a consent, make cursors grow old. Embed NoHooks and
// write what you can; Settings, Address and Connect are the least. A case whose
// hook is missing is skipped, and listed with the hook's name. Where a verb of
// the provider can stand in for a hook (Append for deliver, Modify for move and
// set_keywords, Purge for remove) it does. Truth is worth the most: without it
// the suite must believe what the provider says of itself.
//
// The suite adds, changes and removes messages and mailboxes of the account
// that World.Address names, and leaves alone what was there before. It sends
// mail to World.Recipients only.
//
// # World files
//
// A world file is YAML. This one is for the sandbox as the gateway's own plugin
// knows it, started by
//
//	postern-sandbox --ca-out ca.pem --allow-http-notifications \
//		--user ada@contoso.example --user grace@contoso.example --user alan@contoso.example \
//		--redirect-uri http://localhost:8080/oauth/providertest/callback
//
//	settings:
//	  client_id: "{env.CLIENT_ID}"           # GET /control/state has both
//	  client_secret: "{env.CLIENT_SECRET}"
//	  authority: https://localhost:8090/common
//	  graph_url: https://localhost:8090/v1.0
//	  ca_file: "{dir}/ca.pem"
//	bad_settings:                    # each over the settings above
//	  - authority: not an address
//	redirect_url: http://localhost:8080/oauth/providertest/callback
//	address: ada@contoso.example
//	recipients: [grace@contoso.example, alan@contoso.example]
//	ca_file: ca.pem                  # trusted by the requests of this file
//	connect:
//	  form: {button: approve}
//	deny:
//	  form: {button: deny}
//	deliver:                         # the raw message is the body
//	  post: http://localhost:8092/control/users/{address}/messages?mailbox={mailbox}
//	remove:
//	  delete: http://localhost:8092/control/users/{address}/messages/{id}
//	truth:
//	  get: http://localhost:8092/control/users/{address}/messages
//	forget_cursors:
//	  post: http://localhost:8092/control/users/{address}/forget-cursors
//	revoke:
//	  post: http://localhost:8092/control/users/{address}/revoke
//	expire_tokens:
//	  put: http://localhost:8092/control/faults
//	  body: '{"user": "{address}", "match": "/v1.0/", "status": 401, "times": 1}'
//	token_requests:
//	  get: http://localhost:8092/control/counters
//	  result: tokens.refresh_token   # a number, or an object of numbers to add up
//	faults:
//	  throttled:
//	    start: {put: "http://localhost:8092/control/faults", body: '{"user": "{address}", "match": "/v1.0/", "status": 429}'}
//	    end: {delete: "http://localhost:8092/control/faults"}
//	  unavailable:
//	    start: {put: "http://localhost:8092/control/faults", body: '{"user": "{address}", "match": "/v1.0/", "status": 503}'}
//	    end: {delete: "http://localhost:8092/control/faults"}
//	  lost_answer:
//	    start: {put: "http://localhost:8092/control/faults", body: '{"user": "{address}", "match": "/send", "cut_after": true, "times": 1}'}
//	    end: {delete: "http://localhost:8092/control/faults"}
//	approval:                        # owners who may not consent themselves
//	  start: {put: "http://localhost:8092/control/consent", body: '{"administrators_only": true}'}
//	  end: {put: "http://localhost:8092/control/consent", body: '{"administrators_only": false}'}
//	  approve: {form: {button: approve}}
//	  refuse: {form: {button: deny}}
//	notifications: {}                # a socket on 127.0.0.1 at a free port
//
// A step is one of
//
//   - get, post, put, patch, delete: a URL, with header, and body where it is
//     not the message. Every answer but 2xx is an error.
//   - command: a list of arguments, run as they are, without a shell, in the
//     file's folder. A message to deliver is its standard input; truth and
//     token_requests are JSON on its standard output; connect and deny print
//     the URL to which the owner was sent back.
//   - form, for connect and deny, and for approve and refuse of approval: the pages' forms are filled in and sent by
//     the button of that name, value or text, until the redirect URL is
//     reached. fields gives values for inputs; a choice falls on the account's
//     address, or on what is checked.
//
// result is a path into a JSON answer. In URLs, bodies, headers and arguments
// {address}, {mailbox}, {id}, {keywords} (with commas), {url} (the authorize
// URL), {redirect_url}, {dir} (the file's folder) and {env.NAME} are filled in,
// escaped as their place asks for. Truth is a JSON list of
// {id, mailboxes, keywords, size, sha256}.
// notifications takes listen (an address), url (how the provider reaches it,
// {port} is filled in), cert_file and key_file.
//
// # What is kept true
//
// Every case can fail: the package's own tests break a provider in more than a
// hundred ways, and each case catches at least one of them. A case neither
// needs what another one left nor minds it, so that all of them can run on one
// plugin process; session/ends is the last, for a plugin ends with its session.
// Nothing is waited for by sleeping: the suite asks again until patience
// (Suite.Patience) is over, since real providers are eventually consistent. A
// call that never returns is left behind in its goroutine, and the case fails.
//
// # Where to start
//
// suite.go has the list of cases, case_*.go the cases by area, reader.go the
// reader of change feeds, which is the heart: it folds what a feed tells into a
// picture of the account and compares that with the truth. The subpackage
// memory is a provider that passes, small enough to read in one sitting.
package providertest
