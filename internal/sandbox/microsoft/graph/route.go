package graph

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A call is one request, taken apart.
type call struct {
	s       *Server
	r       *http.Request
	who     principal
	mb      *mailbox
	query   *query
	prefer  preferences
	body    []byte
	now     time.Time
	base    string // scheme and host for links
	owner   string // "me" or "users/x", as the client spelled it
	spelled string // the whole path after the version, cleaned

	path target
}

// A target names an operation's target.
type target struct {
	op      string // key of operations, without the method
	parents []string
	folder  string // id or well-known name, "" for none
	message string
	attach  string
	key     string // of anything else: a category, a time zone standard
}

// An operation is what answers one method on one kind of path.
type operation struct {
	scopes []string
	run    func(*call) (answer, error)
}

// operations is every mail operation that is served. What the service has and
// the sandbox has not stands in refusals.
func operations() map[string]operation {
	read, write, send := scopesRead, scopesWrite, scopesSend
	return map[string]operation{
		"GET me": {scopesProfile, (*call).profile},

		"GET folders":                  {read, (*call).listFolders},
		"POST folders":                 {write, (*call).createFolder},
		"GET folders/$count":           {read, (*call).countFolders},
		"GET folders/delta":            {read, (*call).folderDelta},
		"GET folder":                   {scopesReadBasic, (*call).getFolder},
		"PATCH folder":                 {write, (*call).updateFolder},
		"DELETE folder":                {write, (*call).deleteFolder},
		"POST folder/move":             {write, (*call).moveFolder},
		"POST folder/copy":             {write, (*call).copyFolder},
		"POST folder/permanentdelete":  {write, (*call).permanentlyDeleteFolder},
		"GET messages":                 {scopesReadBasic, (*call).listMessages},
		"POST messages":                {write, (*call).createMessage},
		"GET messages/$count":          {scopesReadBasic, (*call).countMessages},
		"GET messages/delta":           {scopesReadBasic, (*call).messageDelta},
		"GET message":                  {scopesReadBasic, (*call).getMessage},
		"PATCH message":                {write, (*call).updateMessage},
		"DELETE message":               {write, (*call).deleteMessage},
		"GET message/$value":           {read, (*call).messageMIME},
		"POST message/move":            {write, (*call).moveMessage},
		"POST message/copy":            {write, (*call).copyMessage},
		"POST message/permanentdelete": {write, (*call).permanentlyDeleteMessage},

		"POST message/send":           {send, (*call).sendDraft},
		"POST message/reply":          {send, (*call).reply},
		"POST message/replyall":       {send, (*call).replyAll},
		"POST message/forward":        {send, (*call).forward},
		"POST message/createreply":    {write, (*call).createReply},
		"POST message/createreplyall": {write, (*call).createReplyAll},
		"POST message/createforward":  {write, (*call).createForward},
		"POST sendmail":               {send, (*call).sendMail},

		"GET attachments":                      {read, (*call).listAttachments},
		"POST attachments":                     {write, (*call).createAttachment},
		"GET attachments/$count":               {read, (*call).countAttachments},
		"POST attachments/createuploadsession": {write, (*call).createUploadSession},
		"GET attachment":                       {read, (*call).getAttachment},
		"DELETE attachment":                    {write, (*call).deleteAttachment},
		"GET attachment/$value":                {read, (*call).attachmentValue},

		"POST translateexchangeids":      {scopesReadBasic, (*call).translateIDs},
		"GET mailboxsettings":            {scopesSettings, (*call).getSettings},
		"PATCH mailboxsettings":          {scopesSetWrite, (*call).updateSettings},
		"GET mailboxsettings/property":   {scopesSettings, (*call).getSetting},
		"GET outlook":                    {scopesSettings, (*call).getOutlook},
		"GET outlook/supportedlanguages": {scopesSettings, (*call).languages},
		"GET outlook/supportedtimezones": {scopesSettings, (*call).timeZones},
		"GET categories":                 {scopesSettings, (*call).listCategories},
		"POST categories":                {scopesSetWrite, (*call).createCategory},
		"GET categories/$count":          {scopesSettings, (*call).countCategories},
		"GET category":                   {scopesSettings, (*call).getCategory},
		"PATCH category":                 {scopesSetWrite, (*call).updateCategory},
		"DELETE category":                {scopesSetWrite, (*call).deleteCategory},
	}
}

// Handler answers mail operations under /v1.0 for the user in the request's
// context.
func (s *Server) Handler() http.Handler {
	ops := operations()
	known := map[string]bool{}
	for k := range ops {
		_, op, _ := strings.Cut(k, " ")
		known[op] = true
	}
	return s.Envelope(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := s.serve(ops, known, r)
		if err != nil {
			s.WriteError(w, r, err)
			return
		}
		s.write(w, a)
	}))
}

func (s *Server) serve(ops map[string]operation, known map[string]bool, r *http.Request) (answer, error) {
	c, err := s.newCall(r)
	if err != nil {
		return answer{}, err
	}
	op, served := ops[r.Method+" "+c.path.op]
	if !served {
		if why := refusal(r.Method, c.path.op); why != "" {
			return answer{}, errRefused(why)
		}
		if known[c.path.op] {
			return answer{}, errMethod()
		}
		return answer{}, errNoSegment(c.spelled)
	}
	if !c.who.allows(op.scopes...) {
		if c.path.op == "me" {
			return answer{}, errDirectoryDenied()
		}
		return answer{}, errAccessDenied()
	}
	// The body is read before the mailbox is locked: clients may be slow.
	if c.body, err = s.readBody(r); err != nil {
		return answer{}, err
	}
	var a answer
	err = s.locked(c.mb, func() error {
		c.now = s.now()
		a, err = op.run(c)
		return err
	})
	if err == nil && a.after != nil {
		err = a.after()
	}
	if applied := c.prefer.applied(); applied != "" {
		if a.header == nil {
			a.header = http.Header{}
		}
		a.header.Set("Preference-Applied", applied)
	}
	return a, err
}

func (s *Server) readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > s.set.MaxRequestBytes {
		return nil, errBodyTooLarge(s.set.OversizeStatus)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, s.set.MaxRequestBytes+1))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, errBodyTooLarge(s.set.OversizeStatus)
		}
		return nil, errRequestBody("The request body could not be read.")
	}
	if int64(len(b)) > s.set.MaxRequestBytes {
		return nil, errBodyTooLarge(s.set.OversizeStatus)
	}
	return bytes.TrimPrefix(b, []byte("\uFEFF")), nil
}

// newCall reads path, query and preferences and finds the mailbox.
func (s *Server) newCall(r *http.Request) (*call, error) {
	who, ok := r.Context().Value(userKey{}).(principal)
	if !ok {
		return nil, &Error{Status: 401, Code: "InvalidAuthenticationToken", Message: "Access token is empty."}
	}
	c := &call{s: s, r: r, who: who, prefer: parsePrefer(r.Header), base: s.baseURL(r)}
	segs, err := splitPath(r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	if len(segs) == 0 || !strings.EqualFold(segs[0], "v1.0") {
		return nil, errBadRequest("Invalid version: %s", strings.Join(segs[:min(1, len(segs))], ""))
	}
	segs = segs[1:]
	c.spelled = spell(segs)
	var name string
	switch {
	case len(segs) >= 1 && strings.EqualFold(segs[0], "me"):
		name, segs, c.owner = who.user.ID, segs[1:], "me"
	case len(segs) >= 2 && strings.EqualFold(segs[0], "users"):
		name, c.owner, segs = segs[1], spell(segs[:2]), segs[2:]
	default:
		return nil, errNoSegment(c.spelled)
	}
	if c.path, err = parsePath(segs); err != nil {
		return nil, err
	}
	if c.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	c.mb = s.mailbox(name)
	switch {
	case c.mb == nil && c.path.op == "me":
		return nil, errDirectoryNotFound(name)
	case c.mb == nil && c.owner == "me":
		return nil, &Error{Status: 404, Code: "MailboxNotEnabledForRESTAPI", Message: "The mailbox is either inactive, soft-deleted, or is hosted on-premise."}
	case c.mb == nil:
		return nil, errInvalidUser(name)
	case c.mb.user.ID != who.user.ID && c.path.op == "me":
		return nil, errDirectoryDenied()
	case c.mb.user.ID != who.user.ID:
		return nil, errAccessDenied()
	}
	return c, nil
}

func (s *Server) baseURL(r *http.Request) string {
	if s.opts.BaseURL != nil {
		return strings.TrimSuffix(s.opts.BaseURL(), "/")
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// splitPath gives the segments of a path, with every spelling that the service
// accepts made one: doubled slashes, messages('id') for messages/id, functions
// with parentheses and with their namespace.
func splitPath(escaped string) ([]string, error) {
	var segs []string
	for s := range strings.SplitSeq(escaped, "/") {
		if s == "" {
			continue
		}
		u, err := url.PathUnescape(s)
		if err != nil {
			return nil, errBadRequest("The path is malformed.")
		}
		u = strings.TrimPrefix(u, "microsoft.graph.")
		name, args, call := strings.Cut(u, "(")
		if !call || !strings.HasSuffix(args, ")") {
			segs = append(segs, u)
			continue
		}
		args = strings.TrimSuffix(args, ")")
		segs = append(segs, name)
		if _, value, named := strings.Cut(args, "="); named && !strings.HasPrefix(args, "'") {
			args = value
		}
		if args != "" {
			segs = append(segs, strings.ReplaceAll(strings.Trim(args, "'"), "''", "'"))
		}
	}
	return segs, nil
}

func spell(segs []string) string {
	out := make([]string, len(segs))
	for i, s := range segs {
		out[i] = url.PathEscape(s)
	}
	return strings.Join(out, "/")
}

// parsePath names the operation that the segments below a user stand for.
func parsePath(segs []string) (target, error) {
	if len(segs) == 0 {
		return target{op: "me"}, nil
	}
	rest := segs[1:]
	switch first := strings.ToLower(segs[0]); first {
	case "mailfolders":
		return parseFolders(target{}, rest)
	case "messages":
		return parseMessages(target{}, rest)
	case "sendmail", "translateexchangeids":
		if len(rest) == 0 {
			return target{op: first}, nil
		}
	case "mailboxsettings":
		if len(rest) == 0 {
			return target{op: first}, nil
		}
		if len(rest) == 1 {
			return target{op: "mailboxsettings/property", key: rest[0]}, nil
		}
	case "outlook":
		return parseOutlook(rest)
	case "inferenceclassification":
		return target{op: "inferenceclassification"}, nil
	}
	return target{}, errNoSegment(segs[0])
}

func parseFolders(p target, segs []string) (target, error) {
	if len(segs) == 0 {
		p.op = "folders"
		return p, nil
	}
	if s := strings.ToLower(segs[0]); len(segs) == 1 && (s == "$count" || s == "delta") {
		p.op = "folders/" + s
		return p, nil
	}
	if p.folder != "" {
		p.parents = append(p.parents, p.folder)
	}
	p.folder = segs[0]
	if len(segs) == 1 {
		p.op = "folder"
		return p, nil
	}
	rest := segs[2:]
	switch s := strings.ToLower(segs[1]); s {
	case "childfolders":
		return parseFolders(p, rest)
	case "messages":
		return parseMessages(p, rest)
	case "messagerules":
		p.op = "messagerules"
		return p, nil
	case "move", "copy", "permanentdelete":
		if len(rest) == 0 {
			p.op = "folder/" + s
			return p, nil
		}
	}
	return p, errNoSegment(segs[1])
}

func parseMessages(p target, segs []string) (target, error) {
	if len(segs) == 0 {
		p.op = "messages"
		return p, nil
	}
	if s := strings.ToLower(segs[0]); len(segs) == 1 && (s == "$count" || s == "delta") {
		p.op = "messages/" + s
		return p, nil
	}
	p.message = segs[0]
	if len(segs) == 1 {
		p.op = "message"
		return p, nil
	}
	rest := segs[2:]
	switch s := strings.ToLower(segs[1]); s {
	case "attachments":
		switch {
		case len(rest) == 0:
			p.op = "attachments"
		case len(rest) == 1 && strings.EqualFold(rest[0], "$count"):
			p.op = "attachments/$count"
		case len(rest) == 1 && strings.EqualFold(rest[0], "createUploadSession"):
			p.op = "attachments/createuploadsession"
		case len(rest) == 1:
			p.op, p.attach = "attachment", rest[0]
		case len(rest) == 2 && strings.EqualFold(rest[1], "$value"):
			p.op, p.attach = "attachment/$value", rest[0]
		default:
			return p, errNoSegment(rest[1])
		}
		return p, nil
	case "extensions":
		p.op = "extensions"
		return p, nil
	case "$value", "move", "copy", "permanentdelete", "send", "reply", "replyall", "forward", "createreply", "createreplyall", "createforward":
		if len(rest) == 0 {
			p.op = "message/" + s
			return p, nil
		}
	}
	return p, errNoSegment(segs[1])
}

func parseOutlook(segs []string) (target, error) {
	if len(segs) == 0 {
		return target{op: "outlook"}, nil
	}
	switch s := strings.ToLower(segs[0]); {
	case s == "mastercategories" && len(segs) == 1:
		return target{op: "categories"}, nil
	case s == "mastercategories" && len(segs) == 2 && strings.EqualFold(segs[1], "$count"):
		return target{op: "categories/$count"}, nil
	case s == "mastercategories" && len(segs) == 2:
		return target{op: "category", key: segs[1]}, nil
	case s == "supportedlanguages" && len(segs) == 1:
		return target{op: "outlook/supportedlanguages"}, nil
	case s == "supportedtimezones" && len(segs) <= 2:
		p := target{op: "outlook/supportedtimezones"}
		if len(segs) == 2 {
			p.key = segs[1]
		}
		return p, nil
	}
	return target{}, errNoSegment(segs[0])
}

// targetFolder is the folder in the path, checked to lie where the path says.
func (c *call) targetFolder() (*folder, error) {
	if c.path.folder == "" {
		return nil, nil
	}
	f, err := c.mb.lookupFolder(c.path.folder)
	if err != nil {
		return nil, err
	}
	for i, at := len(c.path.parents)-1, f; i >= 0; i-- {
		p, err := c.mb.lookupFolder(c.path.parents[i])
		if err != nil {
			return nil, err
		}
		if at.parent != p {
			return nil, errItemNotFound()
		}
		at = p
	}
	return f, nil
}

// targetMessage is the message in the path, checked to be in the path's folder.
func (c *call) targetMessage() (*message, error) {
	f, err := c.targetFolder()
	if err != nil {
		return nil, err
	}
	m, err := c.mb.lookup(c.path.message, c.now)
	if err != nil {
		return nil, err
	}
	if f != nil && m.folder != f {
		return nil, errItemNotFound()
	}
	return m, nil
}
