package pubsub

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// subscriptionJSON is a Subscription of the API.
type subscriptionJSON struct {
	Name                     string      `json:"name"`
	Topic                    string      `json:"topic"`
	PushConfig               *pushConfig `json:"pushConfig,omitempty"`
	AckDeadlineSeconds       int         `json:"ackDeadlineSeconds,omitempty"`
	MessageRetentionDuration string      `json:"messageRetentionDuration,omitempty"`
	State                    string      `json:"state,omitempty"`
}

func (sub *subscription) json() subscriptionJSON {
	config := sub.Push
	if config == nil {
		config = &pushConfig{}
	}
	return subscriptionJSON{
		Name: sub.Name, Topic: sub.Topic, PushConfig: config, AckDeadlineSeconds: int(sub.AckDeadline / time.Second),
		MessageRetentionDuration: fmt.Sprintf("%ds", int(sub.Retention/time.Second)), State: "ACTIVE",
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// createSubscription wants a role in the project, and one in the topic.
func (c *call) createSubscription() (any, *problem) {
	var in subscriptionJSON
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	in.Name = c.resource
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if !c.s.allowed(c.caller.Member, c.resource, "pubsub.subscriptions.create") || !c.s.allowed(c.caller.Member, in.Topic, "pubsub.topics.attachSubscription") {
		return nil, errForbidden
	}
	sub, why := c.s.create(in)
	if why != nil {
		return nil, why
	}
	return sub.json(), nil
}

func (c *call) getSubscription() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.subscriptions.get"); why != nil {
		return nil, why
	}
	return c.s.subs[c.resource].json(), nil
}

func (c *call) deleteSubscription() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.subscriptions.delete"); why != nil {
		return nil, why
	}
	c.s.subs[c.resource].wake()
	delete(c.s.subs, c.resource)
	return struct{}{}, nil
}

func (c *call) listSubscriptions() (any, *problem) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.subscriptions.list"); why != nil {
		return nil, why
	}
	var out struct {
		Subscriptions []subscriptionJSON `json:"subscriptions,omitempty"`
	}
	for _, name := range slices.Sorted(maps.Keys(c.s.subs)) {
		if strings.HasPrefix(name, c.resource+"/") {
			out.Subscriptions = append(out.Subscriptions, c.s.subs[name].json())
		}
	}
	return out, nil
}

func (c *call) modifyPushConfig() (any, *problem) {
	var in struct {
		PushConfig *pushConfig `json:"pushConfig"`
	}
	if why := c.decode(&in); why != nil {
		return nil, why
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if why := c.may("pubsub.subscriptions.update"); why != nil {
		return nil, why
	}
	return struct{}{}, c.s.setPush(c.s.subs[c.resource], in.PushConfig)
}
