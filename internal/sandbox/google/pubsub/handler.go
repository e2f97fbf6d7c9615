package pubsub

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxBody bounds a request: a publish may have 10 MB.
const maxBody = 10 << 20

// maxPull is the most messages that one pull hands out.
const maxPull = 1000

// A call is one request, taken apart.
type call struct {
	s          *Service
	r          *http.Request
	body       []byte
	caller     Caller
	resource   string // projects/p/topics/t, or projects/p
	collection string // below it: "topics", "subscriptions", or ""
	verb       string // after the colon
}

// ServeHTTP answers everything under /v1/projects/.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, r: r}
	v, why := c.serve(w)
	if why != nil {
		writeProblem(w, why)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (c *call) serve(w http.ResponseWriter) (any, *problem) {
	var ok bool
	if c.caller, ok = c.s.opts.Caller(c.r); !ok {
		return nil, errUnauthenticated
	}
	if !slices.ContainsFunc(c.caller.Scopes, func(scope string) bool {
		return scope == "https://www.googleapis.com/auth/pubsub" || scope == "https://www.googleapis.com/auth/cloud-platform"
	}) {
		return nil, errScopes
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, c.r.Body, maxBody)); err != nil {
		return nil, invalid("Request payload size exceeds the limit: 10485760 bytes.")
	}
	path, verb, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, "/v1/"), ":")
	parts := strings.Split(path, "/")
	c.verb = verb
	switch {
	case len(parts) == 3 && parts[0] == "projects":
		c.resource, c.collection = path[:strings.LastIndexByte(path, '/')], parts[2]
	case len(parts) == 4 && parts[0] == "projects":
		c.resource = path
	case len(parts) == 5 && parts[0] == "projects" && parts[2] == "topics" && parts[4] == "subscriptions":
		c.resource, c.collection = path[:strings.LastIndexByte(path, '/')], parts[4]
	default:
		return nil, errNoMethod
	}
	handler, ok := handlers[c.r.Method+" "+c.kind()]
	if !ok {
		return nil, errNoMethod
	}
	if c.collection == "" && !goodName(c.resource, parts[2]) {
		return nil, invalid("Invalid [" + parts[2] + "] name: (name=" + c.resource + ")")
	}
	return handler(c)
}

// kind names the method by what the path is of: "topics", "topic",
// "topic:publish", "topic/subscriptions".
func (c *call) kind() string {
	one := ""
	if parts := strings.Split(c.resource, "/"); len(parts) == 4 {
		one = strings.TrimSuffix(parts[2], "s")
	}
	switch {
	case c.collection != "" && one != "":
		return one + "/" + c.collection
	case c.collection != "":
		return c.collection
	case c.verb != "":
		return one + ":" + c.verb
	}
	return one
}

// handlers are the methods of Pub/Sub that the sandbox plays.
var handlers = map[string]func(*call) (any, *problem){
	"PUT topic":                            (*call).createTopic,
	"GET topic":                            (*call).getTopic,
	"DELETE topic":                         (*call).deleteTopic,
	"GET topics":                           (*call).listTopics,
	"POST topic:publish":                   (*call).publish,
	"GET topic/subscriptions":              (*call).listOfTopic,
	"GET topic:getIamPolicy":               (*call).getPolicy,
	"POST topic:setIamPolicy":              (*call).setPolicy,
	"POST topic:testIamPermissions":        (*call).testPermissions,
	"PUT subscription":                     (*call).createSubscription,
	"GET subscription":                     (*call).getSubscription,
	"DELETE subscription":                  (*call).deleteSubscription,
	"GET subscriptions":                    (*call).listSubscriptions,
	"POST subscription:pull":               (*call).pull,
	"POST subscription:acknowledge":        (*call).acknowledge,
	"POST subscription:modifyAckDeadline":  (*call).modifyAckDeadline,
	"POST subscription:modifyPushConfig":   (*call).modifyPushConfig,
	"GET subscription:getIamPolicy":        (*call).getPolicy,
	"POST subscription:setIamPolicy":       (*call).setPolicy,
	"POST subscription:testIamPermissions": (*call).testPermissions,
}

// may refuses who has no role for it. A resource that is not there is told to
// those alone who could see it. Called with the lock held.
func (c *call) may(permission string) *problem {
	if !c.s.allowed(c.caller.Member, c.resource, permission) {
		return errForbidden
	}
	if c.s.policyOf(c.resource) == nil {
		return notFound(c.resource)
	}
	return nil
}

// decode reads the body; an empty one leaves v as it is.
func (c *call) decode(v any) *problem {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return invalid("Invalid JSON payload received. " + err.Error())
	}
	return nil
}

type topicJSON struct {
	Name string `json:"name"`
}

func (c *call) createTopic() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case !c.s.allowed(c.caller.Member, c.resource, "pubsub.topics.create"):
		return nil, errForbidden
	case c.s.topics[c.resource] != nil:
		return nil, &problem{http.StatusConflict, "ALREADY_EXISTS", "Resource already exists in the project (resource=" + short(c.resource) + ")."}
	}
	c.s.topics[c.resource] = &topic{Name: c.resource, Policy: policy{}}
	return topicJSON{c.resource}, nil
}

func (c *call) getTopic() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return topicJSON{c.resource}, c.may("pubsub.topics.get")
}

// deletedTopic is the topic of subscriptions whose topic was deleted.
const deletedTopic = "_deleted-topic_"

func (c *call) deleteTopic() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.topics.delete"); why != nil {
		return nil, why
	}
	delete(c.s.topics, c.resource)
	for _, sub := range c.s.subs {
		if sub.Topic == c.resource {
			sub.Topic = deletedTopic
		}
	}
	return struct{}{}, nil
}

func (c *call) listTopics() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.topics.list"); why != nil {
		return nil, why
	}
	var out struct {
		Topics []topicJSON `json:"topics,omitempty"`
	}
	for _, name := range slices.Sorted(maps.Keys(c.s.topics)) {
		if strings.HasPrefix(name, c.resource+"/") {
			out.Topics = append(out.Topics, topicJSON{name})
		}
	}
	return out, nil
}

func (c *call) listOfTopic() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.topics.get"); why != nil {
		return nil, why
	}
	var out struct {
		Subscriptions []string `json:"subscriptions,omitempty"`
	}
	for _, name := range slices.Sorted(maps.Keys(c.s.subs)) {
		if c.s.subs[name].Topic == c.resource {
			out.Subscriptions = append(out.Subscriptions, name)
		}
	}
	return out, nil
}

func (c *call) publish() (any, *problem) {
	var in struct {
		Messages []struct {
			Data       []byte            `json:"data"`
			Attributes map[string]string `json:"attributes"`
		} `json:"messages"`
	}
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	if len(in.Messages) == 0 || len(in.Messages) > 1000 {
		return nil, invalid("The value for message_count is too small. You passed " + itoa(len(in.Messages)) + " in the request, but the minimum value is 1 and the maximum 1000.")
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.topics.publish"); why != nil {
		return nil, why
	}
	ids := make([]string, 0, len(in.Messages))
	for _, m := range in.Messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 {
			return nil, invalid("One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.")
		}
		ids = append(ids, c.s.publish(c.s.topics[c.resource], m.Data, m.Attributes))
	}
	return map[string][]string{"messageIds": ids}, nil
}

// kindOf is topics or subscriptions, for the names of permissions.
func (c *call) kindOf() string { return strings.Split(c.resource, "/")[2] }

func (c *call) getPolicy() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub." + c.kindOf() + ".getIamPolicy"); why != nil {
		return nil, why
	}
	return c.s.policyOf(c.resource).json(), nil
}

func (c *call) setPolicy() (any, *problem) {
	var in struct {
		Policy policyJSON `json:"policy"`
	}
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub." + c.kindOf() + ".setIamPolicy"); why != nil {
		return nil, why
	}
	p := c.s.policyOf(c.resource)
	if bad := p.set(in.Policy); bad != "" {
		return nil, invalid(bad)
	}
	return p.json(), nil
}

func (c *call) testPermissions() (any, *problem) {
	var in, out struct {
		Permissions []string `json:"permissions,omitempty"`
	}
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, p := range in.Permissions {
		if c.s.allowed(c.caller.Member, c.resource, p) {
			out.Permissions = append(out.Permissions, p)
		}
	}
	return out, nil
}

func (c *call) pull() (any, *problem) {
	var in struct {
		MaxMessages       int  `json:"maxMessages"`
		ReturnImmediately bool `json:"returnImmediately"`
	}
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	if in.MaxMessages <= 0 {
		return nil, invalid("The value for max_messages is too small. You passed " + itoa(in.MaxMessages) + " in the request, but the minimum value is 1.")
	}
	if why := c.consumes(); why != nil {
		return nil, why
	}
	items, why := c.s.pull(c.r.Context(), c.resource, min(in.MaxMessages, maxPull), !in.ReturnImmediately)
	if why != nil {
		return nil, why
	}
	var out struct {
		Received []map[string]any `json:"receivedMessages,omitempty"`
	}
	for _, it := range items {
		out.Received = append(out.Received, map[string]any{"ackId": it.ackID, "message": messageJSON(it.Message), "deliveryAttempt": it.Attempt})
	}
	return out, nil
}

func (c *call) consumes() *problem {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.may("pubsub.subscriptions.consume")
}

type acks struct {
	AckIDs             []string `json:"ackIds"`
	AckDeadlineSeconds int      `json:"ackDeadlineSeconds"`
}

func (c *call) acknowledge() (any, *problem) {
	var in acks
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	if why := c.consumes(); why != nil {
		return nil, why
	}
	return struct{}{}, c.s.acknowledge(c.resource, in.AckIDs)
}

func (c *call) modifyAckDeadline() (any, *problem) {
	var in acks
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	if why := c.consumes(); why != nil {
		return nil, why
	}
	return struct{}{}, c.s.modifyAckDeadline(c.resource, in.AckIDs, time.Duration(in.AckDeadlineSeconds)*time.Second)
}
