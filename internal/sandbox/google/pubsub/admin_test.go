package pubsub

import (
	"errors"
	"strings"
	"testing"
)

// TestTopicsAndSubscriptions: made, shown, listed and gone.
func TestTopicsAndSubscriptions(t *testing.T) {
	w := newWorld(t, Settings{})
	const topic, sub = project + "/topics/second", project + "/subscriptions/second"
	w.must("PUT", topic, `{}`)
	w.must("PUT", sub, `{"topic":"`+topic+`","ackDeadlineSeconds":20,"messageRetentionDuration":"3600s"}`)
	if got := w.must("GET", sub, ""); !strings.Contains(got, `"ackDeadlineSeconds":20,"messageRetentionDuration":"3600s"`) || !strings.Contains(got, `"pushConfig":{}`) {
		t.Errorf("subscription %s", got)
	}
	if got := w.must("GET", project+"/topics", ""); !strings.Contains(got, topic) || !strings.Contains(got, topicName) {
		t.Errorf("topics %s", got)
	}
	if got := w.must("GET", topic+"/subscriptions", ""); strings.TrimSpace(got) != `{"subscriptions":["`+sub+`"]}` {
		t.Errorf("of the topic %s", got)
	}
	if got := w.must("GET", project+"/subscriptions", ""); strings.Count(got, `"name"`) != 2 {
		t.Errorf("subscriptions %s", got)
	}
	if got := w.must("POST", topic+":publish", `{"messages":[{"data":"aGk=","attributes":{"a":"b"}}]}`); !strings.Contains(got, `"messageIds":["`) {
		t.Errorf("published %s", got)
	}
	got := decode(t, w.must("POST", sub+":pull", `{"maxMessages":1}`))
	if len(got) != 1 || string(got[0].Message.Data) != "hi" || got[0].Message.Attributes["a"] != "b" {
		t.Errorf("pulled %+v", got)
	}
	w.must("DELETE", topic, "")
	if got := w.must("GET", sub, ""); !strings.Contains(got, `"topic":"_deleted-topic_"`) {
		t.Errorf("after its topic: %s", got)
	}
	w.must("DELETE", sub, "")
	if code, _ := w.as(owner, "GET", sub, ""); code != 404 {
		t.Errorf("deleted: %d", code)
	}
}

// TestRefusals: of what is wrong with a request.
func TestRefusals(t *testing.T) {
	w := newWorld(t, Settings{})
	topic := `{"topic":"` + topicName + `"`
	for _, tc := range []struct {
		method, path, body string
		code               int
	}{
		{"PUT", topicName, `{}`, 409},
		{"PUT", subName, topic + `}`, 409},
		{"PUT", project + "/topics/x", `{}`, 400},
		{"PUT", project + "/topics/google", `{}`, 400},
		{"GET", project + "/topics/none", ``, 404},
		{"DELETE", project + "/topics/none", ``, 404},
		{"POST", project + "/topics/none:publish", `{"messages":[{"data":"aGk="}]}`, 404},
		{"POST", topicName + ":publish", `{"messages":[]}`, 400},
		{"POST", topicName + ":publish", `{"messages":[{}]}`, 400},
		{"POST", topicName + ":publish", `{"messages":[{"data":"?"}]}`, 400},
		{"PUT", project + "/subscriptions/new", `{"topic":"` + project + `/topics/none"}`, 404},
		{"PUT", project + "/subscriptions/new", topic + `,"ackDeadlineSeconds":5}`, 400},
		{"PUT", project + "/subscriptions/new", topic + `,"messageRetentionDuration":"1s"}`, 400},
		{"PUT", project + "/subscriptions/new", topic + `,"pushConfig":{"pushEndpoint":"http://plain.example"}}`, 400},
		{"PUT", project + "/subscriptions/new", topic + `,"pushConfig":{"pushEndpoint":"https://h.example","oidcToken":{}}}`, 400},
		{"POST", topicName + ":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/none","members":["allUsers"]}]}}`, 400},
		{"POST", topicName + ":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/pubsub.viewer","members":["me"]}]}}`, 400},
		{"GET", project, ``, 404},
		{"PATCH", topicName, `{}`, 404},
		{"GET", "elsewhere", ``, 404},
	} {
		if code, text := w.as(owner, tc.method, tc.path, tc.body); code != tc.code {
			t.Errorf("%s %s %s: %d %s", tc.method, tc.path, tc.body, code, text)
		}
	}
	if code, text := w.as("", "GET", topicName, ""); code != 401 || !strings.Contains(text, "UNAUTHENTICATED") {
		t.Errorf("nobody: %d %s", code, text)
	}
	if code, text := w.with(owner, "https://mail.google.com/", "GET", topicName, ""); code != 403 || !strings.Contains(text, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
		t.Errorf("without the scope: %d %s", code, text)
	}
	if code, _ := w.with(owner, "https://www.googleapis.com/auth/cloud-platform", "GET", topicName, ""); code != 200 {
		t.Errorf("with the scope of all: %d", code)
	}
}

// TestRoles: who may do what, by the role in the resource or in the project.
func TestRoles(t *testing.T) {
	w := newWorld(t, Settings{})
	calls := map[string][3]string{
		"get topic": {"GET", topicName, ""},
		"get sub":   {"GET", subName, ""},
		"publish":   {"POST", topicName + ":publish", `{"messages":[{"data":"aGk="}]}`},
		"pull":      {"POST", subName + ":pull", `{"maxMessages":1,"returnImmediately":true}`},
		"policy":    {"GET", topicName + ":getIamPolicy", ""},
		"create":    {"PUT", project + "/topics/created", "{}"},
		"list":      {"GET", project + "/topics", ""},
	}
	for _, tc := range []struct {
		role, resource string
		allowed        string
	}{
		{"", project, ""},
		{"roles/pubsub.viewer", project, "get topic, get sub, list"},
		{"roles/pubsub.publisher", topicName, "publish"},
		{"roles/pubsub.subscriber", subName, "pull"},
		{"roles/pubsub.subscriber", project, "pull"},
		{"roles/pubsub.editor", project, "get topic, get sub, publish, pull, create, list"},
		{"roles/pubsub.admin", project, "get topic, get sub, publish, pull, policy, create, list"},
	} {
		w := newWorld(t, Settings{})
		if tc.role != "" {
			if err := w.s.Grant(tc.resource, tc.role, robot); err != nil {
				t.Fatal(err)
			}
		}
		for name, c := range calls {
			want := 403
			if strings.Contains(tc.allowed, name) {
				want = 200
			}
			if code, text := w.as(robot, c[0], c[1], c[2]); code != want {
				t.Errorf("%s in %s: %s: %d %s", tc.role, tc.resource, name, code, text)
			}
		}
	}
	if got := w.must("GET", topicName+":getIamPolicy", ""); !strings.Contains(got, `{"role":"roles/pubsub.publisher","members":["serviceAccount:gmail-api-push@system.gserviceaccount.com"]}`) {
		t.Errorf("policy %s", got)
	}
	w.must("POST", topicName+":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/pubsub.viewer","members":["`+robot+`"]}]}}`)
	if err := w.s.Publish(t.Context(), topicName, gmailPush, []byte(push)); !errors.Is(err, ErrForbidden) {
		t.Errorf("the role was taken away: %v", err)
	}
	_, got := w.as(robot, "POST", topicName+":testIamPermissions", `{"permissions":["pubsub.topics.get","pubsub.topics.publish"]}`)
	if strings.TrimSpace(got) != `{"permissions":["pubsub.topics.get"]}` {
		t.Errorf("permissions %s", got)
	}
	if err := w.s.Grant(project+"/topics/none", "roles/pubsub.viewer", robot); err == nil {
		t.Error("a role in nothing was granted")
	}
}
