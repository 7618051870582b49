/* objects: agent/sigv4 */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_sigv4_test.c
 *		Signatures: the vectors that AWS has published, as far as they are
 *		about what we send.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/sigv4.h"

#include "unit.h"

#define ACCESS_KEY	"AKIDEXAMPLE"
#define SECRET_KEY	"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define DATE		"20150830T123600Z"

static const PaSigv4Header plain[] = {
	{"host", "example.amazonaws.com"},
	{"x-amz-date", DATE}
};

static PaSigv4Request
request(const char *method, const PaSigv4Header *headers, size_t count)
{
	return (PaSigv4Request) {
		.method = method,
		.path = "/",
		.query = "",
		.headers = headers,
		.header_count = count,
		.body = "",
		.date = DATE,
		.region = "us-east-1",
		.service = "service"
	};
}

static void
is_signed(const PaSigv4Request *request, const char *names,
		  const char *signature, const char *name)
{
	char		got[1024];
	char		expected[1024];

	snprintf(expected, sizeof(expected),
			 "AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
			 "/20150830/us-east-1/service/aws4_request, SignedHeaders=%s, Signature=%s",
			 names, signature);
	ok(pa_sigv4_sign(request, ACCESS_KEY, SECRET_KEY, got, sizeof(got)),
	   "%s is signed", name);
	is_string(got, expected, name);
}

static void
test_vectors(void)
{
	PaSigv4Request signed_request = request("GET", plain, 2);
	PaSigv4Header with_value[] = {
		plain[0], {"my-header1", "value1"}, plain[1]
	};
	PaSigv4Header form[] = {
		{"content-type", "application/x-www-form-urlencoded"}, plain[0], plain[1]
	};
	PaSigv4Header with_token[] = {
		plain[0], plain[1],
		{"x-amz-security-token",
			"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="}
	};

	is_signed(&signed_request, "host;x-amz-date",
			  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
			  "get-vanilla");
	signed_request.query = "Param1=value1&Param2=value2";
	is_signed(&signed_request, "host;x-amz-date",
			  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
			  "get-vanilla-query-order-key-case");
	signed_request.query = "";
	signed_request.path = "/%E1%88%B4";
	is_signed(&signed_request, "host;x-amz-date",
			  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
			  "get-utf8");
	signed_request = request("POST", plain, 2);
	is_signed(&signed_request, "host;x-amz-date",
			  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
			  "post-vanilla");
	signed_request = request("POST", with_value, 3);
	is_signed(&signed_request, "host;my-header1;x-amz-date",
			  "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
			  "post-header-key-sort");
	with_value[1].value = "VALUE1";
	is_signed(&signed_request, "host;my-header1;x-amz-date",
			  "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
			  "post-header-value-case");
	signed_request = request("POST", form, 3);
	signed_request.body = "Param1=value1";
	signed_request.body_length = strlen(signed_request.body);
	is_signed(&signed_request, "content-type;host;x-amz-date",
			  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
			  "post-x-www-form-urlencoded");
	signed_request = request("POST", with_token, 3);
	is_signed(&signed_request, "host;x-amz-date;x-amz-security-token",
			  "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
			  "post-sts-header-before");
}

static void
test_limits(void)
{
	PaSigv4Request signed_request = request("GET", plain, 2);
	char		small[100];
	char		large[1024];
	char		secret[600];

	memset(secret, 's', sizeof(secret) - 1);
	secret[sizeof(secret) - 1] = '\0';
	ok(!pa_sigv4_sign(&signed_request, ACCESS_KEY, SECRET_KEY, small,
					  sizeof(small)), "no room");
	ok(!pa_sigv4_sign(&signed_request, ACCESS_KEY, secret, large,
					  sizeof(large)), "a key that is too long");
	ok(!pa_sigv4_sign(&signed_request, secret, SECRET_KEY, small,
					  sizeof(small)), "a name that is too long");
	signed_request.date = "2015";
	ok(!pa_sigv4_sign(&signed_request, ACCESS_KEY, SECRET_KEY, large,
					  sizeof(large)), "half a date");
}

int
main(void)
{
	test_vectors();
	test_limits();
	return unit_done();
}
