package graph

import "github.com/postern-mail/postern/graph/generated"

// resolvers gives each type of the schema its resolver.
type resolvers struct{ s *Server }

var _ generated.ResolverRoot = (*resolvers)(nil)

type (
	queryResolver        struct{ *Server }
	mutationResolver     struct{ *Server }
	subscriptionResolver struct{ *Server }
	accountResolver      struct{ *Server }
	appPasswordResolver  struct{ *Server }
	attachmentResolver   struct{ *Server }
	attemptResolver      struct{ *Server }
	endpointKeyResolver  struct{ *Server }
	deliveryResolver     struct{ *Server }
	endpointResolver     struct{ *Server }
	eventResolver        struct{ *Server }
	snapshotResolver     struct{ *Server }
	identityResolver     struct{ *Server }
	mailboxResolver      struct{ *Server }
	messageResolver      struct{ *Server }
	providerResolver     struct{ *Server }
	replayJobResolver    struct{ *Server }
	submissionResolver   struct{ *Server }
	threadResolver       struct{ *Server }
	watchResolver        struct{ *Server }
)

func (r *resolvers) Query() generated.QueryResolver                 { return queryResolver{r.s} }
func (r *resolvers) Mutation() generated.MutationResolver           { return mutationResolver{r.s} }
func (r *resolvers) Subscription() generated.SubscriptionResolver   { return subscriptionResolver{r.s} }
func (r *resolvers) Account() generated.AccountResolver             { return accountResolver{r.s} }
func (r *resolvers) AppPassword() generated.AppPasswordResolver     { return appPasswordResolver{r.s} }
func (r *resolvers) Attachment() generated.AttachmentResolver       { return attachmentResolver{r.s} }
func (r *resolvers) Attempt() generated.AttemptResolver             { return attemptResolver{r.s} }
func (r *resolvers) Delivery() generated.DeliveryResolver           { return deliveryResolver{r.s} }
func (r *resolvers) Endpoint() generated.EndpointResolver           { return endpointResolver{r.s} }
func (r *resolvers) EndpointKey() generated.EndpointKeyResolver     { return endpointKeyResolver{r.s} }
func (r *resolvers) Event() generated.EventResolver                 { return eventResolver{r.s} }
func (r *resolvers) EventSnapshot() generated.EventSnapshotResolver { return snapshotResolver{r.s} }
func (r *resolvers) Identity() generated.IdentityResolver           { return identityResolver{r.s} }
func (r *resolvers) Mailbox() generated.MailboxResolver             { return mailboxResolver{r.s} }
func (r *resolvers) Message() generated.MessageResolver             { return messageResolver{r.s} }
func (r *resolvers) Provider() generated.ProviderResolver           { return providerResolver{r.s} }
func (r *resolvers) ReplayJob() generated.ReplayJobResolver         { return replayJobResolver{r.s} }
func (r *resolvers) Submission() generated.SubmissionResolver       { return submissionResolver{r.s} }
func (r *resolvers) Thread() generated.ThreadResolver               { return threadResolver{r.s} }
func (r *resolvers) Watch() generated.WatchResolver                 { return watchResolver{r.s} }
