package wire

// Violation is what is wrong with a message. All violations are made before main and never change, so
// refusing a message allocates nothing and a *Violation may be compared by its pointer.
type Violation struct {
	Status int    // status of the answer
	Code   string // stable name for logs, metrics and the problem document
	Detail string // one sentence without a byte of the message: safe to show to the client

	upstream *Violation // the same fault in an answer; itself when this is one already
}

// Error returns Detail.
func (v *Violation) Error() string { return v.Detail }

// Upstream returns the violation to report when the same fault is found in what a target sent: status
// 502, code "upstream_protocol". Chunked does not know its side, so the pool maps its violations here.
func (v *Violation) Upstream() *Violation {
	if v.upstream == nil {
		return v
	}
	return v.upstream
}

// fault numbers the rows of requestFaults; 0 is none.
type fault uint8

const (
	faultNone fault = iota
	faultEmptyLine
	faultIncomplete
	faultBareLF
	faultBareCR
	faultControl
	faultLine
	faultVersion
	faultMethod
	faultMethodUnknown
	faultMethodRefused
	faultTarget
	faultTargetForm
	faultFragment
	faultScheme
	faultAuthority
	faultAsterisk
	faultFold
	faultName
	faultTooMany
	faultHostMissing
	faultHostRepeated
	faultHost
	faultLength
	faultLengthRepeated
	faultCodingRepeated
	faultCodingUnknown
	faultCodingNone
	faultCodingOld
	faultBothLengths
	faultConnection
	faultOptions
	faultUpgrade
	faultExpect
	faultStatus
	faultChunkSize
	faultChunkExtension
	faultChunkEnd
	faultTrailer
	faultTrailerSize
	faultHeadSize
	faultTargetSize
	faultUnderscore
	faultCount
)

const (
	badRequest    = "bad_request"
	headTooLarge  = "head_too_large"
	uriTooLong    = "uri_too_long"
	badMethod     = "method_not_allowed"
	badExpect     = "expectation_failed"
	notDone       = "not_implemented"
	badVersion    = "version_not_supported"
	upstreamFault = "upstream_protocol"
)

// requestFaults are the violations of a request, by fault.
var requestFaults = [faultCount]Violation{
	// RFC 9112 section 2.2: empty lines before a request line are skipped, as robust servers do.
	faultEmptyLine: {Status: 400, Code: badRequest, Detail: "empty lines where the message should begin"},
	// RFC 9112 section 8.
	faultIncomplete: {Status: 400, Code: badRequest, Detail: "message head is incomplete"},
	// RFC 9112 section 2.2: a lone LF may be taken for a line end, and a parser that does so splits
	// differently.
	faultBareLF: {Status: 400, Code: badRequest, Detail: "line ends in LF without CR"},
	// RFC 9112 section 2.2: a bare CR is invalid within any protocol element other than the content.
	faultBareCR: {Status: 400, Code: badRequest, Detail: "CR without LF"},
	// RFC 9110 section 5.5: NUL and other controls are dangerous in field values.
	faultControl: {Status: 400, Code: badRequest, Detail: "control character in the message head"},
	// RFC 9112 section 3: method SP request-target SP HTTP-version, single spaces only.
	faultLine: {Status: 400, Code: badRequest, Detail: "malformed first line"},
	// RFC 9110 section 15.6.6.
	faultVersion: {Status: 505, Code: badVersion, Detail: "only HTTP/1.0 and HTTP/1.1 are spoken here"},
	// RFC 9110 section 9.1: a method is a token.
	faultMethod: {Status: 400, Code: badRequest, Detail: "malformed method"},
	// RFC 9112 section 3 and RFC 9110 section 15.6.2: longer than any method that somebody has.
	faultMethodUnknown: {Status: 501, Code: notDone, Detail: "method is not implemented"},
	// RFC 9110 sections 9.3.6 and 9.3.8: a gateway neither tunnels nor echoes heads.
	faultMethodRefused: {Status: 405, Code: badMethod, Detail: "method is not allowed here"},
	// RFC 9112 section 3.2: no white space, controls or fragment in a request target.
	faultTarget: {Status: 400, Code: badRequest, Detail: "forbidden character in the request target"},
	// RFC 9112 section 3.2.
	faultTargetForm: {Status: 400, Code: badRequest, Detail: "request target has no known form"},
	// RFC 9110 section 7.1: the target URI has no fragment.
	faultFragment: {Status: 400, Code: badRequest, Detail: "request target has a fragment"},
	// RFC 9112 section 3.2.2 and RFC 9110 section 4.2.
	faultScheme: {Status: 400, Code: badRequest, Detail: "scheme of the request target is not http or https"},
	// RFC 9110 section 4.2.4: userinfo is refused; for the rest see faultHost.
	faultAuthority: {Status: 400, Code: badRequest, Detail: "malformed authority in the request target"},
	// RFC 9112 section 3.2.4.
	faultAsterisk: {Status: 400, Code: badRequest, Detail: "request target * belongs to OPTIONS only"},
	// RFC 9112 sections 2.2 and 5.2: obs-fold, and white space before the first field.
	faultFold: {Status: 400, Code: badRequest, Detail: "line begins with white space"},
	// RFC 9112 section 5.1: a name is a token, and no white space stands between it and the colon.
	faultName: {Status: 400, Code: badRequest, Detail: "malformed field name"},
	// RFC 6585 section 5.
	faultTooMany: {Status: 431, Code: headTooLarge, Detail: "too many fields"},
	// RFC 9112 section 3.2.
	faultHostMissing:  {Status: 400, Code: badRequest, Detail: "Host is missing"},
	faultHostRepeated: {Status: 400, Code: badRequest, Detail: "Host is repeated"},
	// RFC 9110 section 7.2 and RFC 3986 section 3.2.2, narrowed.
	faultHost: {Status: 400, Code: badRequest, Detail: "malformed Host"},
	// RFC 9110 section 8.6 and RFC 9112 section 6.3.
	faultLength:         {Status: 400, Code: badRequest, Detail: "malformed Content-Length"},
	faultLengthRepeated: {Status: 400, Code: badRequest, Detail: "Content-Length is repeated"},
	// RFC 9112 section 6.1.
	faultCodingRepeated: {Status: 400, Code: badRequest, Detail: "Transfer-Encoding is repeated"},
	// RFC 9112 section 6.1: 501 for a coding that is not understood.
	faultCodingUnknown: {Status: 501, Code: notDone, Detail: "transfer coding is not implemented"},
	// RFC 9112 sections 6.3 and 7: "identity" is gone, and the last coding must be chunked.
	faultCodingNone: {Status: 400, Code: badRequest, Detail: "malformed Transfer-Encoding"},
	// RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 means that framing is faulty.
	faultCodingOld: {Status: 400, Code: badRequest, Detail: "Transfer-Encoding in an HTTP/1.0 message"},
	// RFC 9112 sections 6.1, 6.3 and 11.2: request smuggling.
	faultBothLengths: {Status: 400, Code: badRequest, Detail: "both Content-Length and Transfer-Encoding"},
	// RFC 9110 section 7.6.1: a list of tokens.
	faultConnection: {Status: 400, Code: badRequest, Detail: "malformed Connection"},
	faultOptions:    {Status: 400, Code: badRequest, Detail: "Connection names too many fields"},
	// RFC 9110 section 7.8.
	faultUpgrade: {Status: 400, Code: badRequest, Detail: "malformed or repeated Upgrade"},
	// RFC 9110 section 10.1.1.
	faultExpect: {Status: 417, Code: badExpect, Detail: "only 100-continue can be expected"},
	// RFC 9110 section 15: three digits, of which the first is 1 to 5.
	faultStatus: {Status: 400, Code: badRequest, Detail: "malformed status code"},
	// RFC 9112 section 7.1.
	faultChunkSize:      {Status: 400, Code: badRequest, Detail: "malformed chunk size"},
	faultChunkExtension: {Status: 400, Code: badRequest, Detail: "malformed or overlong chunk extension"},
	faultChunkEnd:       {Status: 400, Code: badRequest, Detail: "chunk is not followed by CRLF"},
	// RFC 9110 section 6.5.1.
	faultTrailer:     {Status: 400, Code: badRequest, Detail: "field is forbidden in trailers"},
	faultTrailerSize: {Status: 431, Code: headTooLarge, Detail: "trailer section is too large"},
	// RFC 3875 section 4.1.18: targets of the CGI kind take "_" for "-".
	faultUnderscore: {Status: 400, Code: badRequest, Detail: "field name has an underscore"},
	// RFC 6585 section 5 and RFC 9110 section 15.5.15.
	faultHeadSize:   {Status: 431, Code: headTooLarge, Detail: "message head is too large"},
	faultTargetSize: {Status: 414, Code: uriTooLong, Detail: "request target is too long"},
}

// responseFaults are the same in what a target answered; made from requestFaults before main.
var responseFaults = makeResponseFaults(&requestFaults)

func makeResponseFaults(of *[faultCount]Violation) *[faultCount]Violation {
	var out [faultCount]Violation
	for i := range of {
		detail := "answer of the upstream: " + of[i].Detail
		out[i] = Violation{Status: 502, Code: upstreamFault, Detail: detail}
		of[i].upstream = &out[i]
	}
	return &out
}
