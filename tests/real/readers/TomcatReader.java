// Tomcat: the servlet that it chooses for a request, and the paths that it tells it. One path a line.

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

public class TomcatReader {
    static final Map<String, String> MAPPINGS = Map.of("/admin", "/admin/*", "/admin/assets", "/admin/assets/*", "/public", "/public/*", "/base/admin", "/base/admin/*", "/base", "/base/*", "/other", "/");

    static class Page extends HttpServlet {
        final String place;

        Page(String place) {
            this.place = place;
        }

        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String info = request.getPathInfo() == null ? "" : request.getPathInfo();
            response.setContentType("text/plain;charset=utf-8");
            response.getWriter().print(String.join("\n", place, request.getServletPath() + info, request.getRequestURI()));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[2]);
        // As it is by default, and with everything allowed that its settings know.
        for (int at = 0; at < 2; at++) {
            Connector connector = new Connector("HTTP/1.1");
            connector.setPort(Integer.parseInt(arguments[at]));
            connector.setProperty("address", "127.0.0.1");
            if (at == 1) {
                connector.setEncodedSolidusHandling("decode");
                connector.setAllowBackslash(true);
                connector.setProperty("relaxedPathChars", "\\|^`{}[]\"<>");
            }
            tomcat.getService().addConnector(connector);
        }
        Context context = tomcat.addContext("", arguments[2]);
        MAPPINGS.forEach((place, pattern) -> {
            Tomcat.addServlet(context, place, new Page(place));
            context.addServletMappingDecoded(pattern, place);
        });
        tomcat.start();
        tomcat.getServer().await();
    }
}
