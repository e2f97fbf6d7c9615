package traffic

import (
	"net/url"
	"strings"
)

// words are the path segments that are words of an API rather than names
// of things. Every other segment is counted as {id}, so that the counters stay
// small however many messages there are.
var words = func() map[string]bool {
	list := strings.Fields(`
		v1.0 beta me users mailfolders messages childfolders attachments subscriptions
		delta move copy send reply replyall forward createreply createreplyall createforward
		sendmail permanentdelete createuploadsession reauthorize mailboxsettings timezone
		language automaticrepliessetting workinghours outlook mastercategories
		translateexchangeids oidc userinfo messagerules extensions inferenceclassification
		overrides rules timeformat dateformat userpurpose archivefolder
		inbox drafts sentitems deleteditems junkemail archive outbox msgfolderroot
		clutter conflicts conversationhistory localfailures recoverableitemsdeletions
		scheduled searchfolders serverfailures syncissues
		oauth2 v2.0 authorize token logout .well-known openid-configuration discovery keys
		instance common organizations consumers upload attachmentsessions
		singlevalueextendedproperties multivalueextendedproperties supportedlanguages
		supportedtimezones
		gmail labels threads history watch stop profile settings sendas import batchmodify
		batchdelete modify trash untrash get batch v1 resumable projects topics`)
	m := make(map[string]bool, len(list))
	for _, w := range list {
		m[w] = true
	}
	return m
}()

// Pattern is a request path with every id replaced: /v1.0/me/messages/AAMk=
// becomes /me/messages/{id}. The version in front is dropped, the key in
// parentheses of OData's other spelling (mailFolders('x')) becomes a segment,
// and a query is ignored.
func Pattern(path string) string {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	var out strings.Builder
	first := true
	for seg := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if seg == "" {
			continue
		}
		if first && (strings.EqualFold(seg, "v1.0") || strings.EqualFold(seg, "beta")) {
			first = false
			continue
		}
		first = false
		key := ""
		if open := strings.IndexByte(seg, '('); open > 0 && strings.HasSuffix(seg, ")") {
			key = strings.Trim(seg[open+1:len(seg)-1], "'")
			seg = seg[:open]
		}
		writeSegment(&out, seg)
		if key != "" {
			writeSegment(&out, key)
		}
	}
	if out.Len() == 0 {
		return "/"
	}
	return out.String()
}

func writeSegment(out *strings.Builder, seg string) {
	out.WriteByte('/')
	if strings.HasPrefix(seg, "$") || words[strings.ToLower(strings.TrimPrefix(seg, "microsoft.graph."))] {
		out.WriteString(seg)
		return
	}
	out.WriteString("{id}")
}
