package graph

// Refusals are what the service offers and the sandbox does not, on purpose:
// each with the reason that the caller is told.
var refusals = []struct{ method, op, why string }{
	{"", "messagerules", "inbox rules run on the server and change mail behind the client's back; deliver the mail where a rule would have put it"},
	{"", "extensions", "open extensions are kept beside the mailbox and no mail client reads them; extended properties are served"},
	{"", "inferenceclassification", "focused inbox overrides are not part of mail; inferenceClassification can be set on each message"},
	{"PUT", "message/$value", "generated from metadata; the service itself does not let MIME be replaced"},
	{"DELETE", "message/$value", "generated from metadata; the service itself does not let MIME be deleted"},
}

// refusal is why an operation is refused, or "".
func refusal(method, op string) string {
	for _, r := range refusals {
		if r.op == op && (r.method == "" || r.method == method) {
			return r.why
		}
	}
	return ""
}

// RefusedCode is the error code of what the sandbox does not serve on purpose.
const RefusedCode = "NotServedBySandbox"

func errRefused(why string) error {
	return &Error{Status: 501, Code: RefusedCode, Message: "The sandbox does not serve this on purpose: " + why + "."}
}
