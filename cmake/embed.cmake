# ggufd_embed_page(TARGET PAGE NAME): the HTML file PAGE becomes `const EmbeddedPage NAME` of TARGET (http/embedded_page.h),
# together with the digests that a browser is to be told: of the file, and of its one inline style and its one inline script.
# This file is both the function and the script that the build runs when the page has changed.

function(ggufd_embed_page target page name)
  set(source "${CMAKE_CURRENT_SOURCE_DIR}/${page}")
  set(generated "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  set(script "${CMAKE_SOURCE_DIR}/cmake/embed.cmake")
  add_custom_command(
    OUTPUT "${generated}"
    COMMAND "${CMAKE_COMMAND}" -D "page=${source}" -D "name=${name}" -D "out=${generated}" -P "${script}"
    DEPENDS "${source}" "${script}"
    COMMENT "Embedding ${page}"
    VERBATIM)
  target_sources(${target} PRIVATE "${generated}")
endfunction()

# The SHA-256 of what stands between <ELEMENT …> and </ELEMENT>, as browsers compute it (CSP Level 3, section 8.3).
function(inline_digest element text result)
  string(REGEX MATCHALL "<${element}[ >]" begins "${text}")
  list(LENGTH begins count)
  if(NOT count EQUAL 1 OR NOT text MATCHES "<${element}[^>]*>(.*)</${element}>")
    message(FATAL_ERROR "${page} must have exactly one <${element}>")
  endif()
  string(SHA256 digest "${CMAKE_MATCH_1}")
  set(${result} "${digest}" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${page}" text)
  inline_digest(style "${text}" style_digest)
  inline_digest(script "${text}" script_digest)
  file(SHA256 "${page}" page_digest)
  # As characters: a string literal of this length is more than compilers must take.
  file(READ "${page}" bytes HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
  file(WRITE "${out}" "// Made by cmake/embed.cmake.
#include \"http/embedded_page.h\"

namespace ggufd::http {
namespace {
constexpr char ${name}_bytes[] = {${bytes}};
}  // namespace

const EmbeddedPage ${name}{{${name}_bytes, sizeof ${name}_bytes},
                           \"${page_digest}\",
                           \"${style_digest}\",
                           \"${script_digest}\"};

}  // namespace ggufd::http
")
endif()
