// Jetty: the servlet that it chooses for a request, and the paths that it tells it. One path a line.

import java.io.IOException;
import java.util.Map;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.http.HttpCompliance;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

public class JettyReader {
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
        Server server = new Server();
        // As it is by default, and as old versions were.
        HttpCompliance[] modes = {HttpCompliance.RFC7230, HttpCompliance.LEGACY};
        for (int at = 0; at < 2; at++) {
            ServerConnector connector = new ServerConnector(server, new HttpConnectionFactory(new HttpConfiguration(), modes[at]));
            connector.setHost("127.0.0.1");
            connector.setPort(Integer.parseInt(arguments[at]));
            server.addConnector(connector);
        }
        ServletContextHandler context = new ServletContextHandler();
        MAPPINGS.forEach((place, pattern) -> context.addServlet(new ServletHolder(place, new Page(place)), pattern));
        server.setHandler(context);
        server.start();
        server.join();
    }
}
