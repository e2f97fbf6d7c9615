package graph

import (
	"errors"
	"fmt"
	"net/http"
)

// An Error is a refusal in the service's words. Message is what the service
// says; clients must go by Status and Code.
type Error struct {
	Status  int
	Code    string
	Message string
	Header  http.Header // Retry-After and the like; may be nil
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// The error table: one constructor for each row that mail operations produce.

func errMalformedID() error {
	return &Error{Status: 400, Code: "ErrorInvalidIdMalformed", Message: "Id is malformed."}
}

func errItemNotFound() error {
	return &Error{Status: 404, Code: "ErrorItemNotFound", Message: "The specified object was not found in the store."}
}

func errFolderNotFound() error {
	return &Error{Status: 404, Code: "ErrorFolderNotFound", Message: "The specified folder could not be found in the store."}
}

func errQuota() error {
	return &Error{Status: 507, Code: "ErrorQuotaExceeded", Message: "The mailbox has exceeded its quota."}
}

func errAccessDenied() error {
	return &Error{Status: 403, Code: "ErrorAccessDenied", Message: "Access is denied. Check credentials and try again."}
}

func errDirectoryDenied() error {
	return &Error{Status: 403, Code: "Authorization_RequestDenied", Message: "Insufficient privileges to complete the operation."}
}

func errSendAsDenied() error {
	return &Error{Status: 403, Code: "ErrorSendAsDenied", Message: "The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account., Cannot submit message."}
}

func errInvalidUser(name string) error {
	return &Error{Status: 404, Code: "ErrorInvalidUser", Message: fmt.Sprintf("The requested user '%s' is invalid.", name)}
}

func errDirectoryNotFound(name string) error {
	return &Error{Status: 404, Code: "Request_ResourceNotFound", Message: fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", name)}
}

func errFolderExists() error {
	return &Error{Status: 409, Code: "ErrorFolderExists", Message: "A folder with the specified name already exists."}
}

func errDistinguished() error {
	return &Error{Status: 400, Code: "ErrorDeleteDistinguishedFolder", Message: "Distinguished folders cannot be deleted."}
}

func errConflict() error {
	return &Error{Status: 412, Code: "ErrorIrresolvableConflict", Message: "The send or update operation could not be performed because the change key passed in the request does not match the current change key for the item."}
}

func errNoRecipients() error {
	return &Error{Status: 400, Code: "ErrorInvalidRecipients", Message: "At least one recipient is not valid., A message can't be sent because it contains no recipients."}
}

func errBadRecipient() error {
	return &Error{Status: 400, Code: "ErrorInvalidRecipients", Message: "At least one recipient is not valid."}
}

func errTooManyRecipients() error {
	return &Error{Status: 400, Code: "ErrorExceededMessageLimit", Message: "The message has too many recipients., Cannot submit message."}
}

func errBodyTooLarge(status int) error {
	return &Error{Status: status, Code: "BadRequest", Message: "The maximum request length supported is 4MB."}
}

func errInvalidMIME() error {
	return &Error{Status: 400, Code: "ErrorMimeContentInvalidBase64String", Message: "Invalid base64 string for MIME content."}
}

func errRequestBody(format string, args ...any) error {
	return &Error{Status: 400, Code: "RequestBodyRead", Message: fmt.Sprintf(format, args...)}
}

func errUnknownProperty(name, kind string) error {
	return errRequestBody("The property '%s' does not exist on type 'microsoft.graph.%s'. Make sure to only use property names that are defined by the type or mark the type as open type.", name, kind)
}

func errHeaderName(name string) error {
	return &Error{Status: 400, Code: "InvalidInternetMessageHeader", Message: fmt.Sprintf("The internet message header name '%s' should start with 'x-' or 'X-'.", name)}
}

func errHeaderCount(most int) error {
	return &Error{Status: 400, Code: "InvalidInternetMessageHeaderCollection", Message: fmt.Sprintf("Maximum number of headers in one message should be less than or equal to %d.", most)}
}

func errInefficient() error {
	return &Error{Status: 400, Code: "InefficientFilter", Message: "The restriction or sort order is too complex for this operation."}
}

func errSearchWith(code, option string) error {
	return &Error{Status: 400, Code: code, Message: fmt.Sprintf("The query parameter '%s' is not supported with '$search'.", option)}
}

func errFilterFunction() error {
	return &Error{Status: 400, Code: "ErrorInvalidUrlQueryFilter", Message: "'contains' and 'startswith' are not supported for filtering. Use Search instead."}
}

func errSaveProperty() error {
	return &Error{Status: 400, Code: "ErrorItemSavePropertyError", Message: "Could not save the property for the item."}
}

func errDraftOnly(name string) error {
	return &Error{Status: 400, Code: "ErrorInvalidPropertySet", Message: fmt.Sprintf("The property '%s' can be set on drafts only.", name)}
}

func errSyncState(generation int) error {
	return &Error{Status: 410, Code: "SyncStateNotFound", Message: fmt.Sprintf("The sync state generation is not found; generation=%d;[highest=%d].", generation, generation+1)}
}

func errSyncInvalid() error {
	return &Error{Status: 400, Code: "SyncStateInvalid", Message: "The sync state token is malformed or belongs to another collection."}
}

func errTooLarge() error {
	return &Error{Status: 413, Code: "ErrorMessageSizeExceeded", Message: "The message exceeds the maximum supported size."}
}

func errSmallAttachment() error {
	return &Error{Status: 400, Code: "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", Message: "Attachment size should be greater than the minimum size."}
}

func errLargeAttachment() error {
	return &Error{Status: 413, Code: "ErrorAttachmentSizeLimitExceeded", Message: "The attachment exceeds the maximum supported size."}
}

func errBadRequest(format string, args ...any) error {
	return &Error{Status: 400, Code: "BadRequest", Message: fmt.Sprintf(format, args...)}
}

func errNoSegment(name string) error {
	return errBadRequest("Resource not found for the segment '%s'.", name)
}

func errMethod() error {
	return &Error{Status: 405, Code: "ErrorInvalidRequest", Message: "The OData request is not supported."}
}

func errInvalidRequest(message string) error {
	return &Error{Status: 400, Code: "ErrorInvalidRequest", Message: message}
}

// asError finds the Error in err; anything else is the server's own fault.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Status: 500, Code: "ErrorInternalServerError", Message: "An internal server error occurred. The operation failed."}
}

// settled is the error with the code and status that the settings give it.
func (s *Server) settled(err error) *Error {
	e := *asError(err)
	if status, ok := s.set.Statuses[e.Code]; ok {
		e.Status = status
	}
	if code, ok := s.set.Codes[e.Code]; ok {
		e.Code = code
	}
	return &e
}

// errorBody is an error as JSON.
func (s *Server) errorBody(e *Error, requestID, clientID string) entity {
	inner := entity{
		{"date", s.now().Format("2006-01-02T15:04:05")},
		{"request-id", requestID},
		{"client-request-id", clientID},
	}
	return entity{{"error", entity{{"code", e.Code}, {"message", e.Message}, {s.set.InnerErrorName, inner}}}}
}
