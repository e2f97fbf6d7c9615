package submission

import "context"

// Sent finds the copy that a submission has, or will have, in Sent: mail
// programs store one of their own there beside the provider's. It is found by
// the Message-ID that the program gave, and by size. While the submission is
// under way Sent waits, for a bounded time. message is our id of the provider's
// copy, empty where it is not known yet; ok says that there is one, or will be,
// so that none is to be stored.
func (s *Service) Sent(ctx context.Context, account, messageID string, size int64) (message string, ok bool, err error) {
	return "", false, nil
}

// Appended notes that a mail program has stored a message in Sent that no
// submission had: some do so before they send. Once it is sent there are two,
// and this one is removed.
func (s *Service) Appended(account, messageID, message string, size int64) {}
