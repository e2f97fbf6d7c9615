package outlook

import (
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestApplyVerb(t *testing.T) {
	answered, forwarded := []string{mail.Answered}, []string{mail.Forwarded}
	const other = "1" // a verb that is none of ours
	for _, tc := range []struct {
		add, remove []string
		have, want  string
	}{
		{answered, nil, verbNone, verbReply},
		{answered, nil, other, verbReply},
		{answered, nil, verbReplyAll, verbReplyAll}, // answered already
		{answered, nil, verbForward, verbReply},
		{answered, answered, verbReply, verbReply},
		{answered, forwarded, verbForward, verbReply},
		{forwarded, nil, verbReplyAll, verbForward},
		{append(forwarded, mail.Answered), nil, verbForward, verbReply},
		{nil, answered, verbReplyAll, verbNone},
		{nil, answered, verbForward, verbForward},
		{nil, forwarded, verbForward, verbNone},
		{nil, append(forwarded, mail.Answered), other, other},
	} {
		ch := newChange(&provider.ModifyRequest{AddKeywords: tc.add, RemoveKeywords: tc.remove})
		got, changed := ch.applyVerb(tc.have)
		if got != tc.want || changed != (tc.want != tc.have) {
			t.Errorf("+%v -%v on %s: %s %v, want %s", tc.add, tc.remove, tc.have, got, changed, tc.want)
		}
	}
}
